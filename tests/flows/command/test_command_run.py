"""`acme run`: with DVC's settings or with others, here or in a second clone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from multiprocessing.connection import Listener
from pathlib import Path

import psutil
import pytest

from flows.command import evaluation, run
from flows.command.evaluation import command_of
from flows.command.handed import PLACE, STOPPED, call, handed_over
from flows.command.init import stages
from tasks.run.errors import StageError
from tasks.settings.case import Case
from tasks.settings.fields import read_yaml, yaml_text
from tasks.settings.params import Reference, Settings, load
from tasks.settings.stages import ACME, STAGES
from tasks.setup.check import Checked
from tests.tiny import ROOT

DVC = (sys.executable, "-m", "dvc")
ME = ("-c", "user.name=test", "-c", "user.email=test@localhost")


def shell(root: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def registered(root: Path) -> dict[str, dict[str, str]]:
    """What the registry's aliases are of, by model."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{root / 'mlflow/store/mlflow.db'}")
    return {
        m.name: {a: str(v) for a, v in m.aliases.items()} for m in client.search_registered_models()
    }


@pytest.fixture
def first(finished: Path, tmp_path: Path) -> Path:
    """A project whose stages DVC knows to be done, with all committed and pushed to a remote."""
    root = tmp_path / "first"
    shutil.copytree(finished, root)
    params = read_yaml(root / "params.yaml")
    (root / "dvc.yaml").write_text(stages(Case(root), params))
    (root / ".gitignore").write_text("/data/\n/artifacts/\n/.acme/\n/mlflow/\n")
    shell(root, *DVC, "commit", "--quiet", "--force", *STAGES)
    shell(root, *DVC, "remote", "add", "--quiet", "-d", "there", str(tmp_path / "remote"))
    shell(root, "git", "add", "-A")
    shell(root, "git", *ME, "commit", "-qm", "a run")
    shell(root, *DVC, "push", "--quiet")
    return root


def test_a_second_clone_pulls_and_has_nothing_to_do(first: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    shell(tmp_path, "git", "clone", "-q", str(first), str(second))
    shell(second, *DVC, "pull", "--quiet")
    assert json.loads(shell(second, *DVC, "status", "--json")) == {}
    said = shell(second, *ACME, "run")
    assert "All stages are up to date." in said
    assert shell(first, *ACME, "fleet").strip() in said
    assert not (second / ".acme/prefect-server.log").exists(), "no server was needed"
    assert shell(second, "git", "status", "--porcelain") == ""


def test_other_settings_run_every_stage_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, ran = load(ROOT / "params.yaml"), list[str]()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(run.TRIAL, "")
    monkeypatch.setattr(run, "run_flow", lambda case, stage, given: ran.append(stage))
    run.try_stages(Case(tmp_path), Path("other.yaml"), settings)
    assert ran == list(STAGES)
    assert os.environ[run.TRIAL] == "other.yaml"


def reproduced(root: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What is asked of DVC to bring all up to date."""
    ran: list[list[str]] = []
    monkeypatch.chdir(root)
    monkeypatch.setattr(run, "restore", lambda case: None)
    monkeypatch.setattr(run, "call", lambda command, *_: ran.append(command[3:]))
    run.bring_up_to_date(Case(root), settings)
    return ran


def test_an_alias_that_may_have_moved_runs_the_backbone_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load(ROOT / "params.yaml")
    assert reproduced(tmp_path, settings, monkeypatch) == [["repro"]]
    named = settings.backbone.reference.model_copy(update={"name": "models:/vit@best"})
    settings = settings.model_copy(update={"backbone": replace(settings.backbone, reference=named)})
    again = ["repro", "--force", "--single-item", "backbone"]
    assert reproduced(tmp_path, settings, monkeypatch) == [["repro", "partition"], again, ["repro"]]
    reference = {"patch_size": 4, "dim": 12, "depth": 2, "heads": 3, "mlp_ratio": 2.0}
    names = {"models:/vit@best": True, "models:/vit/3": False, None: False}
    for name, moves in names.items():
        assert Reference.model_validate({**reference, "name": name}).moves is moves


def test_challengers_of_a_run_that_was_killed_are_decided_on_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copy(ROOT / "data.dvc", tmp_path)
    case, decided = Case(tmp_path), list[Path]()
    for name in ("require_project", "fetch_data", "use_environment", "bring_up_to_date"):
        monkeypatch.setattr(run, name, lambda *_: None)
    monkeypatch.setattr(run, "prefect_server", lambda case: nullcontext({}))
    monkeypatch.setattr(run, "watched", lambda env: nullcontext())
    monkeypatch.setattr("flows.parent.as_one_run", lambda case, work: work())
    monkeypatch.setattr("flows.command.table.print_fleet", lambda path: None)

    def killed(params: Path, devices: tuple[str, ...]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "up_to_date", lambda case: False)
    monkeypatch.setattr("flows.command.promotion.promote_fleet", killed)
    with pytest.raises(KeyboardInterrupt):
        run.run_all(Path("params.yaml"))
    monkeypatch.setattr(run, "up_to_date", lambda case: True)
    monkeypatch.setattr(
        "flows.command.promotion.promote_fleet", lambda p, _: decided.append(p) or []
    )
    run.run_all(Path("params.yaml"))
    assert decided == [Path("params.yaml")]
    assert "up to date" not in capsys.readouterr().out
    run.run_all(Path("params.yaml"))
    assert len(decided) == 1
    assert "All stages are up to date" in capsys.readouterr().out
    assert not list(case.work.iterdir())


HANDS_OVER = """
import sys
from pathlib import Path
from flows.command.handed import handed_over
sys.exit(any(handed_over(stage, Path("params.yaml")) for stage in sys.argv[1:]))
"""


@pytest.fixture
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands find this project from any folder."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.mark.usefixtures("at_root")
def test_stages_of_a_command_are_done_in_the_process_that_called_it(tmp_path: Path) -> None:
    done: list[tuple[str, str, int]] = []

    def do(stage: str, params: Path) -> int:
        done.append((stage, str(params), os.getpid()))
        return 2 if stage == "backbone" else 0

    command = [sys.executable, "-c", HANDS_OVER]
    assert call([*command, "partition", "evaluate"], tmp_path, do) == 0
    asked = ["partition", "evaluate"]
    assert done == [(stage, "params.yaml", os.getpid()) for stage in asked]
    assert call([*command, "backbone", "evaluate"], tmp_path, do) == 1
    assert [stage for stage, *_ in done] == [*asked, "backbone"], "none after one that failed"
    assert call([sys.executable, "-c", "import sys; sys.exit(7)"], tmp_path, do) == 7
    assert handed_over("partition", Path("params.yaml")) is None, "no run called this process"


@pytest.mark.usefixtures("at_root")
def test_a_run_that_is_stopped_in_a_stage_ends_the_command_and_its_stage(tmp_path: Path) -> None:
    said = "import os; print(os.getpid(), file=open('pid', 'w'), flush=True)\n"

    def stopped(stage: str, params: Path) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call([sys.executable, "-c", said + HANDS_OVER, "partition"], tmp_path, stopped)
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_a_stage_whose_run_was_killed_says_that_it_is_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PLACE, str(tmp_path / "nobody"))
    assert handed_over("partition", Path("params.yaml")) == STOPPED
    with Listener(str(tmp_path / "run")) as listener, ThreadPoolExecutor(1) as pool:

        def die() -> None:
            with listener.accept() as asking:
                asking.recv()

        pool.submit(die)
        monkeypatch.setenv(PLACE, str(listener.address))
        assert handed_over("partition", Path("params.yaml")) == STOPPED


@pytest.mark.usefixtures("at_root")
def test_a_command_that_is_killed_in_a_stage_has_failed_once_that_has_ended(tmp_path: Path) -> None:
    """As if somebody killed DVC: who asked has gone, and the stage has been done for nothing."""
    gone = "import os, sys; os._exit(7) if os.fork() else None\n"
    done: list[str] = []

    def do(stage: str, params: Path) -> int:
        done.append(stage)
        return 0

    command = [sys.executable, "-c", gone + HANDS_OVER, "partition"]
    assert call(command, tmp_path, do) == 7
    assert done in ([], ["partition"]), "it may have gone before it asked"


def test_a_failed_stage_stops_those_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, codes = load(ROOT / "params.yaml"), list[int]()

    def fails(case: Case, stage: str, given: Settings) -> None:
        raise StageError("the disk is full")

    def dvc(command: list[str], folder: Path, do: Callable[[str, Path], int]) -> int:
        codes.append(do("partition", ROOT / "params.yaml"))
        return codes[-1]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "restore", lambda case: None)
    monkeypatch.setattr(run, "call", dvc)
    monkeypatch.setattr(run, "run_flow", fails)
    with pytest.raises(StageError, match="a stage failed"):
        run.bring_up_to_date(Case(tmp_path), settings)
    assert codes == [2]
    assert capsys.readouterr().err == "acme: the disk is full\n"


def test_a_folder_where_dvc_cannot_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"is no DVC project\. Try: git init && dvc init"):
        run.require_project(Case(tmp_path))
    (tmp_path / ".dvc").mkdir()
    below = tmp_path / "below"
    below.mkdir()
    with pytest.raises(StageError, match=r"has no dvc\.yaml"):
        run.require_project(Case(below))
    (below / "dvc.yaml").touch()
    run.require_project(Case(below))


def test_the_command_that_reproduces_names_other_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command_of("fig1", "quick", None, Path("params.yaml")) == (
        "acme evaluate --only fig1 --scale quick"
    )
    assert command_of("fig1", "quick", 3, Path("other.yaml")) == (
        "acme evaluate --only fig1 --scale quick --seeds 3 --params other.yaml"
    )


@pytest.mark.slow
def test_a_run_with_other_settings_leaves_their_outcome_alone(first: Path) -> None:
    params = read_yaml(first / "params.yaml")
    before = json.loads((first / "artifacts/summary.json").read_text())
    before_registry = registered(first)
    assert before_registry["acme-device-00"] == {"champion": "1"}
    other = params | {"seed": 7, "fleet": params["fleet"][:1]}
    (first / "other.yaml").write_text(yaml_text(other))
    said = shell(first, *ACME, "run", "--params", "other.yaml")
    assert "The fleet, seed 7" in said
    assert json.loads((first / "artifacts/summary.json").read_text())["seed"] == 7
    left = {p.name for p in (first / "artifacts/models").iterdir()}
    assert left == {"device-00", "device-01"}
    assert not list((first / "artifacts/backbone").glob("south*"))
    assert registered(first) == before_registry, "a trial's models are nobody's challengers"
    assert "modified" in shell(first, *DVC, "status")
    said = shell(first, *ACME, "run")
    assert "The fleet, seed 0" in said
    assert json.loads((first / "artifacts/summary.json").read_text()) == before


def test_our_experiments_run_beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    here: list[str] = []
    monkeypatch.setattr(evaluation, "run_experiment", lambda name, *_: here.append(name))
    args = ("quick", 2, Path("params.yaml"))
    words = "['evaluate', '--only', 'languages', '--scale', 'quick', '--seeds', '2']"
    for code, fails in ((f"sys.argv[1:] != {words}", False), ("7", True)):
        child = (sys.executable, "-c", f"import sys; sys.exit({code})")
        monkeypatch.setattr(evaluation, "ACME", child)
        with pytest.raises(StageError, match="languages failed") if fails else nullcontext():
            evaluation.run_experiments(["fig1", "contexts", "languages"], *args)
    assert here == ["fig1", "contexts"] * 2


def test_a_stage_looks_at_settings_that_have_changed_since_the_run_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "dvc.yaml", "data.dvc"):
        shutil.copy(ROOT / name, tmp_path)
    looked, ran = list[Path](), list[Settings]()

    def look(params: Path) -> Checked:
        looked.append(params)
        return Checked(run.checked(params), ())

    def dvc(command: list[str], folder: Path, do: Callable[[str, Path], int]) -> int:
        codes = [do("partition", Path("params.yaml"))]
        changed = (tmp_path / "params.yaml").read_text().replace("seed: 0", "seed: 1", 1)
        (tmp_path / "params.yaml").write_text(changed)
        return any([*codes, do("backbone", Path("params.yaml"))])

    monkeypatch.setattr(run, "check", look)
    monkeypatch.setattr(run, "restore", lambda case: None)
    monkeypatch.setattr(run, "call", dvc)
    monkeypatch.setattr(run, "run_flow", lambda case, name, settings: ran.append(settings))
    run.bring_up_to_date(Case(tmp_path), run.checked(Path("params.yaml")))
    assert looked == [Path("params.yaml")]
    assert [settings.seed for settings in ran] == [0, 1]
