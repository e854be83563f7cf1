"""Files are written whole; what a killed writer leaves is swept, what a living one has is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tasks.run.files import MOMENT_S, atomic_write, sweep
from tests.tiny import ROOT

KILLED = """
import os, signal, sys
from pathlib import Path
from boltons import fileutils
from tasks.run.files import atomic_write
fileutils.atomic_rename = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
atomic_write(Path(sys.argv[1]), b"whole")
"""


def make_old(path: Path) -> None:
    then = path.stat().st_mtime - 2 * MOMENT_S
    os.utime(path, (then, then))


def test_what_a_killed_writer_left_is_swept_once_it_is_old(tmp_path: Path) -> None:
    path = tmp_path / "store/rounds/0ff1ce"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], env=env, check=False)
    assert done.returncode == -9
    [left] = path.parent.iterdir()
    assert left.name.endswith(".partial")
    sweep(tmp_path)
    assert left.exists(), "it may be another machine's, which is at it"
    make_old(left)
    sweep(tmp_path)
    assert not left.exists()


def test_what_a_living_writer_has_and_what_is_whole_stay(tmp_path: Path) -> None:
    living = tmp_path / f".rounds.{os.getpid()}.partial"
    living.write_bytes(b"half")
    atomic_write(tmp_path / "rounds", b"whole")
    atomic_write(tmp_path / ".named.by-a-user.partial", b"whole")
    before = sorted(tmp_path.iterdir())
    for path in before:
        make_old(path)
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == before
