"""Kill a run with ``kill -9`` at many moments, run it again, and look for what is lost, doubled or
left running: against a run that nothing disturbed.

    python -m tests.crash [--kills 20] [--seed 0] [--jobs 2] [--keep FOLDER]

A project with tiny settings is made once and copied for every kill. Only processes that this
program started are killed; it knows them by a mark in their environment.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

import click
import psutil

from flows.command.table import print_rows
from tasks.settings.stages import ACME, STAGES
from tests import outcome
from tests.tiny import clone

MARK = "ACME_CRASH_TEST"
US = uuid.uuid4().hex
"""What the marks of all our processes begin with."""
TIMEOUT_S = 600.0  # of one run
QUIET_S = 10.0  # in which a run's children may still end

Moment = Callable[[Path, float], bool]
"""Whether to kill now: of the project's folder, and the seconds since its run began."""


@dataclass
class Kill:
    """What became of one kill and the run after it."""

    number: int
    at_s: float = 0.0
    during: str = ""
    rerun_s: float = 0.0
    differences: list[str] = field(default_factory=list)

    def row(self) -> dict[str, str]:
        """For the table: its first differences, shortened."""
        shown = [words if len(words) < 90 else f"{words[:87]}..." for words in self.differences]
        return {
            "kill": str(self.number),
            "at s": f"{self.at_s:.1f}",
            "during": self.during,
            "rerun s": f"{self.rerun_s:.0f}",
            "differs": "\n".join([*shown[:8], *([f"and {len(shown) - 8}"] if shown[8:] else [])]),
        }


# ---- moments ----


def after(seconds: float) -> Moment:
    """So many seconds after the start."""
    return lambda root, elapsed: elapsed >= seconds


def once(pattern: str, seconds: float = 0.0) -> Moment:
    """So many seconds after a file that fits ``pattern`` is first there."""
    first: list[float] = []

    def now(root: Path, elapsed: float) -> bool:
        if not first and any(root.glob(pattern)):
            first.append(elapsed)
        return bool(first) and elapsed - first[0] >= seconds

    return now


PLACES: dict[str, Callable[[], Moment]] = {
    "Prefect's server runs, in mid-stage": lambda: once("artifacts/work/store/header/*"),
    "MLflow makes its database": lambda: once("mlflow/store/*", 2.0),
    "models are logged and registered": lambda: once("mlflow/store/artifacts/*/models/*", 0.3),
}
"""Where a kill once did harm, by what a run leaves at that time."""


def moments(kills: int, seed: int, duration_s: float) -> list[Moment]:
    """The places, as far as there are kills for them, and for each other kill a moment in one of as
    many equal parts of a run."""
    places = [make() for make in PLACES.values()][:kills]
    parts, draws = kills - len(places), random.Random(seed)
    return places + [after(duration_s * (i + draws.random()) / parts) for i in range(parts)]


# ---- projects and their processes ----


def make_project(root: Path) -> None:
    """A project whose data are pinned and whose files are all committed; no stage of it has run."""
    clone(root)
    call(root, *ACME, "data", "pin")
    me = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    call(root, "git", *me, "commit", "-qam", "pinned")


def call(root: Path, *command: str) -> None:
    """Run a command that must succeed."""
    done = subprocess.run(
        command, cwd=root, env=environment(root, ""), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def environment(root: Path, mark: str) -> dict[str, str]:
    """The variables of a run: the project's own code, no server and no store of somebody else."""
    ours = ("PREFECT_", "MLFLOW_", "ACME_", "DVC_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    own = {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", MARK: mark}
    return kept | own


def marked(mark: str) -> list[psutil.Process]:
    """The processes whose mark begins so, whatever group or parent they have."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            theirs = process.environ().get(MARK, "")
            if theirs.startswith(mark) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end(mark: str) -> None:
    """Kill what still runs of it."""
    for process in marked(mark):
        with suppress(psutil.Error):
            process.kill()


@contextmanager
def running(root: Path, mark: str) -> Iterator[subprocess.Popen]:
    """`acme run` in a process group of its own; its output is added to a log beside the project."""
    with log_of(root).open("ab") as log:
        process = subprocess.Popen(
            [*ACME, "run"],
            cwd=root,
            env=environment(root, mark),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def log_of(root: Path) -> Path:
    return root.with_name(f"{root.name}.log")


def run_whole(root: Path, mark: str) -> tuple[int, float]:
    """`acme run` to its end; its exit code, and how long it took."""
    start = time.monotonic()
    with running(root, mark) as process:
        code = process.wait(TIMEOUT_S)
    return code, time.monotonic() - start


def run_killed(root: Path, mark: str, moment: Moment) -> float:
    """`acme run`, killed with its process group at a moment; after how many seconds."""
    start = time.monotonic()
    with running(root, mark) as process:
        while process.poll() is None and time.monotonic() - start < TIMEOUT_S:
            if moment(root, time.monotonic() - start):
                break
            time.sleep(0.02)
    return time.monotonic() - start


def stage_in(log: str) -> str:
    """What a run was at when its output ended: before, in, or after its stages."""
    stages = re.findall(r"Running stage '(\w+)'", log)
    if not stages:
        return "start"
    ended = "Updating lock file" in log.rsplit("Running stage", 1)[1]
    if not ended:
        return stages[-1]
    return "promotion" if stages[-1] == list(STAGES)[-1] else f"after {stages[-1]}"


# ---- the comparison ----


def wait_for_quiet(mark: str) -> list[psutil.Process]:
    """What still runs of a run that has ended, some seconds later."""
    deadline = time.monotonic() + QUIET_S
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def named(processes: list[psutil.Process]) -> list[str]:
    """What the processes are."""
    words = []
    for process in processes:
        with suppress(psutil.Error):
            words.append(" ".join(process.cmdline()[1:5]))
    return words


def kill_once(base: Path, number: int, moment: Moment, expected: outcome.Outcome) -> Kill:
    """Copy the project, kill its run, run it again, and compare."""
    mark, kill = f"{US}-{number:02d}", Kill(number)
    root = base.with_name(f"kill-{number:02d}")
    shutil.copytree(base, root, symlinks=True)
    try:
        kill.at_s = run_killed(root, mark, moment)
        kill.during = stage_in(log_of(root).read_text("utf-8", "replace"))
        code, kill.rerun_s = run_whole(root, mark)
        if code:
            last = log_of(root).read_text("utf-8", "replace").strip().splitlines()[-1]
            kill.differences.append(f"the rerun ended with {code}: {last}")
        left = named(wait_for_quiet(mark))
        kill.differences += [f"left running: {words}" for words in left]
        kill.differences += outcome.differences(expected, outcome.read(root))
    finally:
        end(mark)
    return kill


def undisturbed(base: Path) -> tuple[outcome.Outcome, float]:
    """What a run comes to that nothing disturbs, and how long it takes.

    Raises:
        AssertionError: it fails, or leaves something running itself.
    """
    mark, root = f"{US}-00", base.with_name("undisturbed")
    shutil.copytree(base, root, symlinks=True)
    code, seconds = run_whole(root, mark)
    assert code == 0, f"the undisturbed run failed: see {log_of(root)}"
    assert not (left := named(wait_for_quiet(mark))), f"the undisturbed run left {left}"
    return outcome.read(root), seconds


@click.command()
@click.option("--kills", default=20, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True, help="Draws the moments.")
@click.option("--jobs", default=2, show_default=True, help="How many projects run at once.")
@click.option("--keep", type=click.Path(path_type=Path), help="Where the projects stay.")
def main(kills: int, seed: int, jobs: int, keep: Path | None) -> None:
    """Kill a run at many moments; exit code 1 if anything is lost, doubled or left running."""
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, lambda *_: (end(US), os._exit(130)))
    with nullcontext(keep) if keep else tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        make_project(base)
        expected, duration_s = undisturbed(base)
        said(f"an undisturbed run takes {duration_s:.0f} s")

        def one(numbered: tuple[int, Moment]) -> Kill:
            kill = kill_once(base, *numbered, expected)
            found = "; ".join(kill.differences[:2]) or "nothing differs"
            said(f"kill {kill.number} at {kill.at_s:.1f} s ({kill.during}): {found}")
            if keep is None:
                shutil.rmtree(base.with_name(f"kill-{kill.number:02d}"))
            return kill

        with ThreadPoolExecutor(jobs) as pool:
            done = list(pool.map(one, enumerate(moments(kills, seed, duration_s), 1)))
    print_rows(f"{kills} kills, seed {seed}", [k.row() for k in done], left=("during", "differs"))
    bad = [kill for kill in done if kill.differences]
    print(f"{len(done) - len(bad)} of {len(done)} kills: nothing lost, doubled or left running.")
    sys.exit(1 if bad else 0)


def said(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
