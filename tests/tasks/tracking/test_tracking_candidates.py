"""Where a result comes from: the tag speaks of code and settings, not of what a run writes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tasks.settings.case import Case
from tasks.tracking.candidates import git_commit


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("params.yaml", "dvc.lock", "evaluation/dvc.lock", "README.md", "docs/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
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
