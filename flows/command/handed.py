"""All stages of a run in one process, though DVC starts a command for each: the command hands its
stage over to the run that called DVC, which has loaded by then what stages need."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Client, Listener
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from flows.command.answer import STOPPED

PLACE = "ACME_RUN_AT"
"""The socket of the run that called DVC, which only its owner may open."""


def handed_over(stage: str, params: Path) -> int | None:
    """The exit code of a stage, done by the run that called DVC; None: no run did, and the stage is
    left to this process."""
    place = os.environ.get(PLACE)
    if not place:
        return None
    try:
        with Client(place) as run:
            run.send((stage, params))
            return int(run.recv())
    except (EOFError, OSError):  # the run has ended; it says why, if anything can
        return STOPPED


def call(command: Sequence[str], folder: Path, do: Callable[[str, Path], int]) -> int:
    """The exit code of a command (of DVC's) in a folder.

    Args:
        do: stage and settings to the exit code of a stage that its processes hand over, called in
            this thread.
    """
    with TemporaryDirectory(prefix="acme-") as own, Listener(f"{own}/run") as listener:
        place = str(listener.address)
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, PLACE: place})

        def wake() -> None:
            process.wait()
            with suppress(OSError):  # there is nobody left to wake
                Client(place).close()

        Thread(target=wake, daemon=True).start()
        try:
            while process.poll() is None:
                with listener.accept() as asking, suppress(EOFError, BrokenPipeError):
                    asking.send(do(*asking.recv()))
        finally:
            process.terminate()  # does nothing where it has ended
            process.wait()
        return process.returncode
