"""What a device and a notebook need is little: the packages of `dependencies`, and theirs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ONLY = """
import sys
from importlib.machinery import PathFinder
refused = set(sys.argv[1].split())

class Absent:
    def find_spec(self, name, path=None, target=None):
        absent = name.partition(".")[0] in refused
        return None if absent else PathFinder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(PathFinder, name)

sys.meta_path = [Absent() if finder is PathFinder else finder for finder in sys.meta_path]
"""
"""Finds nothing of what is refused, as if it were not installed: libraries may ask for it."""
NEED_MORE = ("models.baselines", "models.backbone.families.from_timm", "tasks.links.ledger")
"""Of these rooms, what only experiments and the cloud (named references, the ledger) run."""


def base() -> set[str]:
    """The distributions that `pip install acme-customization` brings."""
    found: set[str] = set()
    todo = list(DECLARED["dependencies"])
    while todo:
        requirement = Requirement(todo.pop())
        name = canonicalize_name(requirement.name)
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if not wanted or name in found:
            continue
        found.add(name)
        try:
            todo += requires(name) or []
        except PackageNotFoundError:  # of another platform
            continue
    return found


def absent() -> set[str]:
    """The modules that are installed here and would not be with the base alone."""
    kept = base()
    return {
        module
        for module, owners in packages_distributions().items()
        if not kept & {canonicalize_name(owner) for owner in owners}
        and module not in {"flows", "tasks", "models", *sys.stdlib_module_names}
    }


def run_in_base(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ONLY + code, " ".join(sorted(absent()))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_rest_is_not_in_the_base() -> None:
    rest = {"timm", "prefect", "pandas", "mlflow", "dvc", "ot", "sklearn", "scipy"}
    assert rest <= absent()
    looked = "from importlib.util import find_spec\nassert not any(map(find_spec, %r))"
    run_in_base(looked % sorted(rest))


def test_models_devices_and_links_load_with_the_base_alone() -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for room in ("models", "tasks/device", "tasks/links")
        for path in sorted((ROOT / room).rglob("[a-z]*.py"))
    ]
    names = [name for name in names if not name.startswith(NEED_MORE)]
    assert len(names) > 30
    run_in_base(f"import {', '.join(names)}")


FORWARD = """
import os, tempfile
from pathlib import Path

import torch

from models.backbone.config import build
from models.backbone.families.vit import ViTConfig
from models.header.build import build_header, state_of
from models.header.config import HeaderConfig
from models.refinement.recipe import LocalTraining, Pruning
from models.refinement.training import LocalSteps
from tasks.data.modality import ImageInfo
from tasks.delivery.shipped import Made, load_shipped, ship
from tasks.device import choice, features, rounds
from tasks.device.own import Own
from tasks.links.link import Route, receive, send
from tasks.run.compute import Machine
from tasks.run.store import put_tensors

os.chdir(tempfile.mkdtemp())
machine, stream = Machine("cpu", 1), torch.Generator().manual_seed(0)
info = ImageInfo("mine", ("a", "b", "c"), 8, 1, (0.5,), (0.25,))
config = ViTConfig(image_size=8, patch_size=4, channels=1, classes=3, dim=8, depth=2, heads=2,
                   head_dim=4, mlp_hidden=8)
shape = HeaderConfig("cnn-add", 8, (2, 2), 3, channels=4, hidden=6)
samples = {}
for split in ("train", "val"):
    samples[f"{split}_images"] = torch.randint(256, (24, 1, 8, 8), generator=stream).byte()
    samples[f"{split}_labels"] = torch.arange(24) % 3

weights = {f"backbone.{k}": v for k, v in build(config, seed=1).state_dict().items()}
weights |= {f"header.{k}": v for k, v in state_of(build_header(shape, seed=1)).items()}
configs = {"backbone": config.to_dict(), "header": shape.to_dict()}
model = send("customized_model", Route("north", "device-00"), weights, {"config": configs})
own = Own("north", "device-00", 0, put_tensors("samples", samples))
own = features.adopt(own, model, info, machine).own

turn, steps = rounds.Turn("north", 1, "importance", 0), LocalSteps(3, LocalTraining(8, 0.01, 0.01))
work = rounds.Work(steps, steps, Pruning(0.2, 1))
[trained] = rounds.train([own], turn, work, rounds.Speech(), machine)
[said] = trained.messages
back = send("mixed_importance", Route("north", "device-00", 1, said.run), receive(said)[0])
[pruned] = rounds.prune([trained.own], [back], turn, work, machine)
state = pruned.own.adopted[2]
assert 0 < state.neurons < state.neurons_received
[finished] = choice.finish([pruned.own], [None], turn, work, "importance", machine)
assert sum(state.ships for state in finished.own.rounds) == 1

shipped, file = ship(Path("model"), Made(build(config, seed=1), state, torch.tensor([0, 2])), info)
with torch.no_grad():
    logits = load_shipped(file)(info.example(2))
    assert logits.shape == (2, 3) and torch.equal(logits, shipped(info.example(2)))
    assert logits.softmax(1)[:, 1].max() == 0
"""


def test_a_device_trains_prunes_and_runs_with_the_base_alone() -> None:
    run_in_base(FORWARD)
