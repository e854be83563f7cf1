"""Fonts of Debian's packages, fetched and unpacked without installing them: a folder a family."""

from __future__ import annotations

import os
import shutil
import subprocess
from csv import DictReader
from pathlib import Path

from tasks.run.errors import DataError

LIST = Path(__file__).with_name("families.csv")
"""Each is Debian's package ``fonts-<family>``, and its fonts' licence."""
TIMEOUT_S = 600.0
OTHERWISE = "Fonts of your own, a folder a family, do as well: FONTS=FOLDER make case-glyphs"


def fetch(folder: Path) -> Path:
    """``folder``, with the fonts of each family in a folder of its own: those that are there, else
    from Debian's archive. Needs no root, and installs nothing.

    Raises:
        DataError: they cannot be had; says what to do.
    """
    if folder.is_dir():
        return folder
    for tool in ("apt-get", "dpkg"):
        if not shutil.which(tool):
            raise DataError(f"no {tool} here to fetch Debian's fonts with. {OTHERWISE}")
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    archives = partial / ".archives"
    archives.mkdir(parents=True)
    try:
        _call("apt-get", "download", "-qq", *packages_of(LIST), at=archives)
        for package in sorted(archives.glob("*.deb")):
            family = package.name.partition("_")[0].removeprefix("fonts-")
            _call("dpkg", "-x", str(package.absolute()), family, at=partial)
        shutil.rmtree(archives)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def packages_of(families: Path) -> list[str]:
    """Their names."""
    with families.open() as lines:
        return [f"fonts-{row['family']}" for row in DictReader(lines)]


def _call(*command: str, at: Path) -> None:
    try:
        subprocess.run(
            command, cwd=at, capture_output=True, text=True, timeout=TIMEOUT_S, check=True
        )
    except subprocess.CalledProcessError as error:
        said = [line for line in error.stderr.splitlines() if line.startswith(("E:", "dpkg"))]
        why = said[0] if said else f"exit code {error.returncode}"
    except subprocess.TimeoutExpired:
        why = f"no answer within {TIMEOUT_S:.0f} s"
    else:
        return
    tried = " ".join(command[:2])
    raise DataError(f"{tried}: {why} (as root, apt-get update brings package lists). {OTHERWISE}")
