"""The DVC project of a further case, inside that of the project: so `dvc status` and `dvc repro` of
one say nothing of the other."""

from __future__ import annotations

import re
from os.path import normpath, relpath
from pathlib import Path

from tasks.run.files import atomic_write
from tasks.settings.case import Case


def make_subproject(case: Case) -> None:
    """What `dvc init --subdir` makes in the case's folder, unless it is there; with the settings of
    the project's DVC (its remotes, and its cache where it is not the usual one)."""
    ours, theirs = case.folder / ".dvc", case.project / ".dvc"
    config = (theirs / "config").read_text()
    contents = {
        "config": moved(config, theirs, ours),
        ".gitignore": "/config.local\n/tmp\n/cache\n",
    }
    for name, text in contents.items():
        if not (ours / name).exists():
            atomic_write(ours / name, text.encode())


def moved(config: str, theirs: Path, ours: Path) -> str:
    """DVC's settings for another folder: paths in them start where the file lies."""

    def place(line: re.Match[str]) -> str:
        start, value = line.groups()
        elsewhere = value.startswith(("/", "~")) or ":" in value
        return line[0] if elsewhere else start + normpath(f"{relpath(theirs, ours)}/{value}")

    return re.sub(r"^(\s*(?:url|dir)\s*=\s*)(\S.*?)\s*$", place, config, flags=re.M)
