"""`acme run`: with DVC's settings or with others, here or in a second clone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from flows.command import evaluation, run
from flows.command.evaluation import command_of
from flows.command.init import stages
from tasks.run.errors import StageError
from tasks.settings.case import Case
from tasks.settings.fields import read_yaml, yaml_text
from tasks.settings.params import Reference
from tasks.settings.stages import ACME, STAGES
from tasks.setup.check import Checked
from tests.tiny import ROOT

DVC = (sys.executable, "-m", "dvc")
ME = ("-c", "user.name=test", "-c", "user.email=test@localhost")


def call(root: Path, *command: str) -> str:
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
    call(root, *DVC, "commit", "--quiet", "--force", *STAGES)
    call(root, *DVC, "remote", "add", "--quiet", "-d", "there", str(tmp_path / "remote"))
    call(root, "git", "add", "-A")
    call(root, "git", *ME, "commit", "-qm", "a run")
    call(root, *DVC, "push", "--quiet")
    return root


def test_a_second_clone_pulls_and_has_nothing_to_do(first: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    call(tmp_path, "git", "clone", "-q", str(first), str(second))
    call(second, *DVC, "pull", "--quiet")
    assert json.loads(call(second, *DVC, "status", "--json")) == {}
    said = call(second, *ACME, "run")
    assert "All stages are up to date." in said
    assert call(first, *ACME, "fleet").strip() in said
    assert not (second / ".acme/prefect-server.log").exists(), "no server was needed"
    assert call(second, "git", "status", "--porcelain") == ""


def test_other_settings_run_every_stage_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "_call", lambda case, env, command: ran.append(command[1:]))
    run.bring_up_to_date(Case(tmp_path), Path("other.yaml"), {})
    stage = ["-m", "flows.command.cli", "stage"]
    assert ran == [[*stage, name, "--params", "other.yaml"] for name in STAGES]
    ran.clear()
    run.bring_up_to_date(Case(tmp_path), tmp_path / "params.yaml", {})
    assert ran == [["-m", "dvc", "repro"]]


def test_an_alias_that_may_have_moved_runs_the_backbone_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "_call", lambda case, env, command: ran.append(command[3:]))
    run.bring_up_to_date(Case(tmp_path), Path("params.yaml"), {}, moves=True)
    again = ["repro", "--force", "--single-item", "backbone"]
    assert ran == [["repro", "partition"], again, ["repro"]]
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
    monkeypatch.setattr("flows.parent.as_one_run", lambda case, work: work({}))
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


def test_a_failed_stage_stops_those_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "_call", lambda case, env, command: ran.append(command) or 2)
    with pytest.raises(StageError, match="a stage failed"):
        run.bring_up_to_date(Case(tmp_path), Path("other.yaml"), {})
    assert len(ran) == 1


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
    said = call(first, *ACME, "run", "--params", "other.yaml")
    assert "The fleet, seed 7" in said
    assert json.loads((first / "artifacts/summary.json").read_text())["seed"] == 7
    left = {p.name for p in (first / "artifacts/models").iterdir()}
    assert left == {"device-00", "device-01"}
    assert not list((first / "artifacts/backbone").glob("south*"))
    assert registered(first) == before_registry, "a trial's models are nobody's challengers"
    assert "modified" in call(first, *DVC, "status")
    said = call(first, *ACME, "run")
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


def test_a_stage_looks_at_settings_and_data_unless_the_run_above_it_has_looked_at_these(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "dvc.yaml", "data.dvc"):
        shutil.copy(ROOT / name, tmp_path)
    case, looked, ran = Case(tmp_path), list[Path](), list[str]()
    settings = run.checked(Path("params.yaml"))

    def look(params: Path) -> Checked:
        looked.append(params)
        return Checked(settings, ())

    monkeypatch.setattr(run, "check", look)
    monkeypatch.setattr(run, "prefect_server", lambda case: nullcontext({}))
    monkeypatch.setattr(run, "watched", lambda env: nullcontext())
    monkeypatch.setattr(run, "run_flow", lambda case, name, settings: ran.append(name))
    run.run_stage("backbone", Path("params.yaml"))
    assert len(looked) == 1
    monkeypatch.setenv(run.LOOKED_AT, run.looked_at(case, settings))
    run.run_stage("backbone", Path("params.yaml"))
    assert len(looked) == 1
    (tmp_path / "data.dvc").write_text("outs: []")
    run.run_stage("backbone", Path("params.yaml"))
    monkeypatch.setenv(run.LOOKED_AT, run.looked_at(case, settings))
    changed = (tmp_path / "params.yaml").read_text().replace("seed: 0", "seed: 1", 1)
    (tmp_path / "params.yaml").write_text(changed)
    run.run_stage("backbone", Path("params.yaml"))
    assert len(looked) == 3
    assert ran == ["backbone"] * 4
