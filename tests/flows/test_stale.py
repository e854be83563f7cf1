"""What a change makes stale, and that it makes nothing else stale: an edit of each module, and
another value of each setting. Keys are computed, nothing is run."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect import Task

from flows.command.pipeline import with_code
from tasks.run import closure
from tasks.run.cached import KEY
from tasks.run.closure import PACKAGES, code_version
from tasks.settings.case import Case
from tasks.settings.declared import paths, stages_of
from tasks.settings.fields import read_yaml
from tasks.settings.stages import STAGES
from tasks.setup.subproject import make_subproject
from tests.tiny import ROOT, copy_project, tiny_params

TASK_MODULES = (
    "flows.on_device",
    "tasks.cloud.backbone",
    "tasks.cloud.plain",
    "tasks.cloud.reference",
    "tasks.edge.header",
    "tasks.edge.mixing",
)


# ---- an edit of each module ----


def modules() -> list[str]:
    files = [f for package in PACKAGES for f in sorted((ROOT / package).rglob("*.py"))]
    named = [f.relative_to(ROOT).with_suffix("").as_posix() for f in files]
    return [name.removesuffix("/__init__").replace("/", ".") for name in named]


def cached_tasks() -> dict[str, Task]:
    """The pipeline's cached tasks by name."""
    found = {}
    for module in map(import_module, TASK_MODULES):
        values = [v for v in vars(module).values() if isinstance(v, Task)]
        found |= {t.fn.__name__: t for t in values if t.cache_policy is KEY}
    return found


@pytest.fixture
def edited(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Makes a module's source look as if it had been edited."""
    real = closure._content_hash

    def edit(module: str) -> None:
        file = closure._source(module)
        monkeypatch.setattr(closure, "_content_hash", lambda f: "edited" if f == file else real(f))
        code_version.cache_clear()

    yield edit
    monkeypatch.undo()
    code_version.cache_clear()


def test_an_edit_makes_those_stages_and_tasks_stale_that_import_it(
    edited: Callable[[str], None], imports: Callable[[str], set[str]]
) -> None:
    tasks = {name: task.fn.__module__ for name, task in cached_tasks().items()}
    assert len(tasks) > 12
    entries = {f"flows.{stage}" for stage in STAGES} | set(tasks.values())
    before = {entry: code_version(entry) for entry in entries}
    needed = {entry: imports(entry) for entry in entries}
    for module in modules():
        edited(module)
        stale = {entry for entry in entries if code_version(entry) != before[entry]}
        assert stale == {entry for entry in entries if module in needed[entry]}, module


@pytest.mark.parametrize(
    ("module", "stale"),
    [
        ("tasks/run/compute.py", {"backbone", "customize", "evaluate"}),
        ("models/matching/selection.py", set(STAGES)),  # the command line's errors name it
        ("tasks/edge/mixing.py", {"customize"}),
        ("tasks/report/figures.py", {"evaluate"}),
        ("constraints.txt", set(STAGES)),
    ],
)
def test_dvc_says_so_too(module: str, stale: set[str], locked: Path) -> None:
    path = locked / module
    kept = path.read_bytes()
    path.write_bytes(kept + b"# an edit\n")
    try:
        for case in Case(locked).all():
            assert stale_stages(case) == stale, case.label
    finally:
        path.write_bytes(kept)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this project, with a further case, whose stages DVC takes for done, on outputs that
    say nothing."""
    root = tmp_path_factory.mktemp("locked")
    copy_project(root)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    own, further = Case(root), Case(root, "further")
    make_subproject(further)
    for name in ("params.yaml", "data.sha256"):
        shutil.copyfile(own.folder / name, further.folder / name)
    further.pipeline.write_text(with_code(further, own.pipeline.read_text()))
    for case in (own, further):
        lock(case)
        assert stale_stages(case) == set()
    return root


def lock(case: Case) -> None:
    """Have DVC take the case's stages for done."""
    for stage in stages_of(case.pipeline).values():
        for out in paths(stage, "outs", "metrics", "plots"):
            path = case.folder / out
            file = path if path.suffix else path / "file"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("made")
    for name in ("data.json", "SHA256SUMS.cloud", "samples/cloud.safetensors"):
        (case.partition / name).parent.mkdir(parents=True, exist_ok=True)
        (case.partition / name).write_text("made")
    command = [sys.executable, "-m", "dvc", "commit", "--quiet", "--force", *STAGES]
    subprocess.run(command, cwd=case.folder, check=True)


def stale_stages(case: Case) -> set[str]:
    command = [sys.executable, "-m", "dvc", "status", "--json", *STAGES]
    done = subprocess.run(command, cwd=case.folder, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


# ---- another value of each setting ----

WORK = {"train", "prune", "finish"}
"""Of a device in its rounds; all that it does there goes by one record of settings."""
READ_BY: dict[str, set[str]] = {
    "seed": {"train_reference", "distil", "search_header", "settle", "train_cnn", *WORK},
    "compute": set(),  # auto and cpu are the same here: the key holds what was found
    "threads": {"train_reference", "score_reference", "rank", "distil", "score"}
    | {"send_public_features", "train_cnn", "compare_cnn"}
    | {"embed_shared", "search_header", "settle", "adopt", *WORK},
    "data": set(),  # by the partition stage, which caches nothing
    # a source says whether a mirrored image is as good
    "data.source": {"train_reference", "train_cnn", "distil"},
    "partition": set(),
    "backbone.reference": {"train_reference"},
    "backbone.training": {"train_reference"},
    "backbone.refit_samples": {"score_reference", "score"},
    "backbone.training.flip": {"train_reference", "distil", "train_cnn"},
    "backbone.cnn": {"train_cnn"},
    "backbone.at_chance": set(),
    "backbone.importance_samples": {"rank"},
    "backbone.widths": {"distil", "score"},
    "backbone.depths": {"distil", "score"},
    "backbone.depth_strategy": {"distil", "score", "cut"},
    "backbone.distillation": {"distil"},
    "matching": set(),  # by the choice of a variant, which takes no time and is not cached
    "edge": {"search_header"},
    "edge.public_features": {"send_public_features"},
    "edge.batch_size": {"search_header", "settle"},
    "edge.unfreeze_steps": {"settle"},
    "edge.unfreeze_lr": {"settle"},
    "refinement.method": {"compare"},
    "refinement.temperature": {"compare"},
    "refinement.debias": {"compare"},
    "refinement.rounds": set(),  # by the flow: another number of rounds, each the same
    "refinement.quorum": set(),
    "refinement.steps": WORK,
    "refinement.joint": WORK,
    "refinement.tuning_steps": WORK,
    "refinement.prune_fraction": WORK,
    "refinement.min_per_layer": WORK,
    "refinement.batch_size": WORK,
    "refinement.lr": WORK,
    "refinement.weight_decay": WORK,
    "refinement.sketch_samples": set(),  # of sketches, of which statistics have no use
    "refinement.prune_by": {"finish"},
    "refinement.ask_first": {"train"},
    "refinement.rank": {"find_basis"},
    "refinement.answers": {"share", *WORK},  # share: of what a device is, it is first
    "refinement.exchange": {"send_model"},  # alone, devices do what they did beside it
    "refinement.sketch": {"compare"},
    "refinement.noise": {"train"},
    "refinement.deadline_s": set(),
    "refinement.ceiling_steps": set(),  # of the report, which nothing is cached of
    "fleet.storage_limit": {"search_header"},  # the smallest of the cluster
    "fleet.gpu_capacity_watt": set(),
    "fleet.base_latency_s": set(),
    "fleet.group": set(),
    "fleet.id": {"share", "embed_shared", "settle", "send_model", "adopt", "compare"} | WORK,
    "fleet.edge": {"cut", "send_backbone", "send_public_features", "share", "embed_shared"}
    | {"search_header", "settle", "find_basis", "send_model", "adopt", "compare", *WORK},
}
"""Which cached tasks read a setting, by the longest name that fits."""

OTHER: dict[str, Any] = {  # where adding a little is no valid value
    "compute": "cpu",
    "data.source": "cifar100",
    "data.folder": "elsewhere",
    "data.origin": "elsewhere",
    "data.channels": 3,
    "data.manifest": "other.csv",
    "data.sensors": ["upright", "rotated"],
    "partition.public_contexts": ["all"],
    "partition.heterogeneity": "iid",
    "partition.shared_fraction": 0.15,
    "backbone.reference.name": "vit_tiny_patch16_224",
    "backbone.reference.pretrained": None,  # with a name alone
    "backbone.reference.checkpoint": "weights.safetensors",
    "backbone.reference.dim": 18,
    "backbone.reference.heads": 4,
    "backbone.reference.stem": [[16, 2]],
    "backbone.reference.initialisation": "small",
    "backbone.training.steps": 90,
    "backbone.training.patience": 2,
    "backbone.training.flip": True,
    "backbone.training.layers": 1,
    "backbone.at_chance": "stop",
    "backbone.cnn.steps": 9,
    "backbone.cnn.patience": 2,
    "backbone.widths": [0.5],
    "backbone.depths": [2],
    "backbone.depth_strategy": "even",
    "matching.method": "greedy-size",
    "edge.operations": ["conv1", "identity"],
    "edge.fixed": ["mlp"],
    "refinement.method": "average",
    "refinement.sketch": "moments",
    "refinement.answers": "all",
    "refinement.exchange": "none",
    "refinement.prune_by": "magnitude",
    "refinement.deadline_s": 1000.0,
    "refinement.joint": "sum",
    "fleet.edge": "west",
    "fleet.id": 4,
}


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting with its dotted name; of the fleet, its first edge and first device's."""
    for name, value in values.items():
        path = f"{prefix}{name}"
        if path == "fleet":
            yield "fleet.edge", value[0]["edge"]
            yield from ((f"fleet.{k}", v) for k, v in value[0]["devices"][0].items())
        elif isinstance(value, Mapping):
            yield from leaves(value, f"{path}.")
        else:
            yield path, value


def changed(path: str) -> Any:
    """The tiny settings with another value of one."""
    from tasks.settings.params import Settings

    params = tiny_params()
    *parents, last = path.split(".")
    place: Any = params
    for part in parents:
        place = place[part]
    if path == "fleet.edge":
        place = place[0]
    elif path.startswith("fleet."):
        place = place[0]["devices"][0]
    value = OTHER.get(path, place[last])
    if value == place[last]:
        value = not value if isinstance(value, bool) else value + type(value)(1)
        value = value / 10 if isinstance(value, float) else value
    place[last] = value
    if path == "backbone.reference.pretrained":
        place |= {"name": "vit_tiny_patch16_224", "pretrained": True}
    return Settings.model_validate(params)


class Replay:
    """Runs the flows' functions with every task answered from a first run, in which tasks ran as
    plain functions; keeps the key of each cached task by its run's name."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.results: dict[tuple[str, str], Any] = {}
        self.keys: dict[tuple[str, str], str | None] = {}
        self.recording = True
        replay = self

        def call(task: Task, *args: Any, return_state: bool = False, **options: Any) -> Any:
            result = replay.answer(task, *args, **options)
            done = SimpleNamespace(is_completed=lambda: True, result=lambda: result)
            return done if return_state else result

        patch.setattr(Task, "__call__", call)

    def answer(self, task: Task, *args: Any, **options: Any) -> Any:
        bound = inspect.signature(task.fn).bind(*args, **options)
        bound.apply_defaults()
        name = task.fn.__name__
        run = (name, str(task.task_run_name).format(**bound.arguments))
        if task.cache_policy is KEY:
            self.keys[run] = KEY.compute_key(SimpleNamespace(task=task), bound.arguments, {})
        if self.recording or run not in self.results:  # a further round
            self.results[run] = task.fn(*args, **options)
        return self.results[run]

    @contextmanager
    def anew(self) -> Iterator[None]:
        """While the block runs, every task is really run, and nothing of it is kept."""
        kept, self.results, self.recording = self.results, {}, True
        yield
        self.results, self.recording = kept, False

    def run(self, settings: Any) -> dict[tuple[str, str], str | None]:
        """The keys of all cached tasks of both phases."""
        from flows.backbone import (
            cluster_backbone,
            elastic_of,
            given_reference,
            plain_cnn,
            scored_grid,
            trained_reference,
        )
        from flows.customize import customize_cluster
        from flows.job import Job
        from tasks.cloud.plain import compare_cnn
        from tasks.cloud.public import Public
        from tasks.cloud.reference import score_reference
        from tasks.data.samples import read_world
        from tasks.run.compute import Machine
        from tasks.run.step import run_step
        from tasks.settings.case import Case

        self.keys = {}
        world = read_world(Case.here().partition, [f"device-0{i}" for i in range(4)])
        world.samples["device-04"] = world.samples["device-00"]  # another name: the data stay
        job = Job(settings, world, Machine.of(settings.compute, settings.threads))
        trained = trained_reference(job, given_reference(settings))
        public = Public(world.cloud, world.info)
        refits = settings.backbone.refit_samples
        run_step(score_reference, trained.model, public, refits, job.machine)
        cnn = plain_cnn(job)
        assert cnn is not None
        run_step(compare_cnn, cnn, trained.model, public, job.machine)
        elastic = elastic_of(job, trained.model)
        variants = scored_grid(job, elastic)
        for cluster in settings.fleet[:1]:
            fitted = cluster_backbone(job, cluster, elastic, variants)
            customize_cluster(job, cluster, fitted.backbone)
        return dict(self.keys)


@pytest.fixture(scope="module")
def replay(working: Path) -> Iterator[Replay]:
    from tasks.settings.params import load

    with pytest.MonkeyPatch.context() as patch:
        Path("weights.safetensors").write_bytes(b"weights")
        replay = Replay(patch)
        base = replay.run(load(Path("params.yaml")))
        of_others = {"sketch"}  # the exchange of this world tells who is alike itself
        assert {name for name, _ in base} == set(cached_tasks()) - of_others
        replay.recording = False
        assert replay.run(load(Path("params.yaml"))) == base
        replay.base = base  # type: ignore[attr-defined]
        yield replay


OF_TEXTS = {"data.encoder", "backbone.distillation.parallel"}
"""Of which this world has none: tests/tasks/cloud/test_cloud_texts.py."""
TRIED = [path for path, _ in leaves(tiny_params()) if path not in OF_TEXTS]


@pytest.mark.parametrize("path", TRIED)
def test_a_setting_changes_the_keys_of_the_tasks_that_read_it(path: str, replay: Replay) -> None:
    base: dict[tuple[str, str], str | None] = replay.base  # type: ignore[attr-defined]
    if path in ("fleet.id", "fleet.edge"):  # another name, so other runs: nobody answers for it
        with replay.anew():
            keys = replay.run(changed(path))
        differing = {name for (name, run), key in keys.items() if base.get((name, run)) != key}
    else:
        keys = replay.run(changed(path))
        differing = {name for (name, run), key in keys.items() if base.get((name, run), key) != key}
    fitting = [name for name in READ_BY if f"{path}.".startswith(f"{name}.")]
    assert differing == READ_BY[max(fitting, key=len)]


def test_every_setting_of_the_shipped_file_is_tried() -> None:
    shipped = read_yaml(ROOT / "params.yaml")
    assert {path for path, _ in leaves(shipped)} == {path for path, _ in leaves(tiny_params())}
