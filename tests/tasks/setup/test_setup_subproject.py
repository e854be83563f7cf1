"""The DVC project of a case: DVC takes it for one of its own, with the project's settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tasks.settings.case import Case
from tasks.setup.subproject import make_subproject, moved

CONFIG = """[core]
    remote = there
['remote "there"']
    url = ../../store
['remote "bucket"']
    url = s3://dvc/files
[cache]
    dir = /big/cache
"""


def test_paths_of_the_settings_start_where_the_case_lies() -> None:
    text = moved(CONFIG, Path("/p/.dvc"), Path("/p/cases/a/.dvc"))
    assert text == CONFIG.replace("../../store", "../../../../store")


def test_dvc_knows_a_project_with_the_same_remote(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".dvc/config").write_text(CONFIG)
    case = Case(tmp_path, "a")
    make_subproject(case)

    def dvc(*words: str) -> str:
        command = [sys.executable, "-m", "dvc", *words]
        done = subprocess.run(command, cwd=case.folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert Path(dvc("root")) == Path(".")
    assert str((tmp_path / "../store").resolve()) in dvc("remote", "list")
    (case.folder / ".dvc/config").write_text("")
    make_subproject(case)
    assert (case.folder / ".dvc/config").read_text() == "", "what is there stays"
