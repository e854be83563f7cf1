"""Where a result comes from: the tag speaks of code and settings, not of what a run writes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tasks.settings.case import Case
from tasks.tracking.candidates import DEVICES, experiment_of, git_commit
from tasks.tracking.registry import backbone_model, device_model
from tasks.tracking.store import tracking_uri


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    cases = ("cases/a/params.yaml", "cases/b/params.yaml", "flows/run.py")
    plain = ("params.yaml", "dvc.lock", "evaluation/dvc.lock", "README.md", "docs/a.png")
    for name in (*plain, *cases):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("before")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    me = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    git(tmp_path, *me, "commit", "-qm", "first")
    return tmp_path


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_what_a_run_writes_makes_nothing_dirty(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    assert git_commit(Case(repository)) == commit
    for name in ("dvc.lock", "evaluation/dvc.lock", "README.md", "docs/a.png"):
        (repository / name).write_text("after")
    (repository / "untracked.txt").touch()
    assert git_commit(Case(repository)) == commit


@pytest.mark.parametrize("staged", [False, True])
def test_changed_settings_do(repository: Path, staged: bool) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    (repository / "params.yaml").write_text("after")
    if staged:
        git(repository, "add", "params.yaml")
    assert git_commit(Case(repository)) == f"{commit}-dirty"


def test_a_neighbour_in_the_same_repository_makes_nothing_dirty(repository: Path) -> None:
    (repository / "params.yaml").write_text("after")
    assert not git_commit(Case(repository / "evaluation")).endswith("-dirty")


def test_outside_git_nothing_is_known(tmp_path: Path) -> None:
    assert git_commit(Case(tmp_path)) == "unknown"


@pytest.mark.parametrize(
    ("changed", "dirty"),
    [
        ("params.yaml", {None}),
        ("cases/a/params.yaml", {"a"}),
        ("flows/run.py", {None, "a", "b"}),
        ("README.md", set()),
    ],
)
def test_code_and_a_case_s_own_settings_count(
    repository: Path, changed: str, dirty: set[str | None]
) -> None:
    (repository / changed).write_text("after")
    cases = [Case(repository, name) for name in (None, "a", "b")]
    assert {case.name for case in cases if git_commit(case).endswith("-dirty")} == dirty


def test_the_runs_of_a_queued_experiment_are_the_project_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / ".dvc").mkdir()
    ours = tracking_uri(tmp_path)
    for copies in (".dvc/tmp/exps/a", "cases/digits/.dvc/tmp/exps/a"):
        assert tracking_uri(tmp_path / copies) == ours


def test_cases_are_told_apart_by_their_names_in_mlflow(tmp_path: Path) -> None:
    own, digits = Case(tmp_path), Case(tmp_path, "digits")
    assert [experiment_of(c, DEVICES) for c in (own, digits)] == [
        "acme-3-devices",
        "acme-digits-3-devices",
    ]
    assert device_model(own, "device-00") == "acme-device-00"
    assert device_model(digits, "device-00") == "acme-digits-device-00"
    assert backbone_model(own, "north") == "acme-backbone-north"
    assert backbone_model(digits, "north") == "acme-digits-backbone-north"
