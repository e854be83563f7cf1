"""`acme evaluate`: the paper's experiments and ours, one after the other, each resumable."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.command.table import print_rows
from flows.logs import prefect_on_its_page
from tasks.experiments.registry import EXPERIMENTS
from tasks.run.errors import SettingsError, StageError
from tasks.servers.shared import prefect_server, watched
from tasks.settings.case import Case
from tasks.settings.stages import ACME
from tasks.setup.check import check


def evaluate_paper(only: Sequence[str], scale: str, seeds: int | None, params: Path) -> None:
    """Run experiments, write their tables, pictures and claims, and print the verdicts.

    Raises:
        AcmeError: an unknown experiment, bad settings or data.
    """
    only = [name for words in only for name in words.split(",")]
    unknown = sorted(set(only) - set(EXPERIMENTS))
    if unknown:
        raise SettingsError(f"no experiment {unknown[0]!r}: choose of {', '.join(EXPERIMENTS)}")
    check(params)
    chosen = [name for name in EXPERIMENTS if not only or name in only]
    with prefect_server(Case.here()) as env, watched(env):
        os.environ.update(env)  # before anything imports Prefect, which reads it once
        with prefect_on_its_page():
            run_experiments(chosen, scale, seeds, params)
    finish(scale)


def run_experiments(chosen: Sequence[str], scale: str, seeds: int | None, params: Path) -> None:
    """One after the other, each named on the terminal; last those that may run at once."""
    beside = [name for name in chosen if EXPERIMENTS[name].beside]
    for number, name in enumerate([name for name in chosen if name not in beside], 1):
        print(f"{name} ({number} of {len(chosen)}, scale {scale})", file=sys.stderr, flush=True)
        run_experiment(name, scale, seeds, params)
    if beside:
        print(f"{' and '.join(beside)}, scale {scale}", file=sys.stderr, flush=True)
        run_beside(beside, scale, seeds, params)


def run_beside(names: Sequence[str], scale: str, seeds: int | None, params: Path) -> None:
    """Experiments that measure no time, at once: the first here, the others in processes of their
    own, with a thread each.

    Raises:
        StageError: one of those failed.
    """
    here, *others = names
    started = dict[str, subprocess.Popen[bytes]]()
    try:
        for name in others:
            words = shlex.split(command_of(name, scale, seeds, params))[1:]
            started[name] = subprocess.Popen([*ACME, *words], stdout=subprocess.DEVNULL)
        run_experiment(here, scale, seeds, params)
        failed = [name for name, process in started.items() if process.wait()]
    finally:
        for process in started.values():
            process.terminate()  # does nothing where it has ended
            process.wait()
    if failed:
        again = command_of(failed[0], scale, seeds, params)
        raise StageError(f"{failed[0]} failed, its own message came before. To go on: {again}")


def run_experiment(name: str, scale: str, seeds: int | None, params: Path) -> None:
    """One experiment's flow, and what it leaves."""
    from flows.experiments.bench import Bench
    from flows.experiments.by_name import flow_of
    from flows.owned import OWNED
    from flows.parent import run_below
    from tasks.experiments import results, world
    from tasks.experiments.scale import load_scale
    from tasks.run.compute import Machine, hardware
    from tasks.tracking.candidates import Lineage, git_commit

    case = Case.here()
    bench = Bench(load_scale(scale, case.experiments.parent), params, seeds)
    start = time.monotonic()
    rows = run_below(flow_of(name).with_options(**OWNED), {"bench": bench})
    settings = bench.settings(0)
    how = results.Circumstances(
        scale=scale,
        command=command_of(name, scale, seeds, params),
        hardware=hardware(Machine.of(settings.compute, settings.threads)),
        git_commit=git_commit(case),
        wall_s=round(time.monotonic() - start, 1),
    )
    claims = results.publish(case.evaluation, name, rows, how)
    data = bench.data(name)
    lineage = Lineage(data.source, world.content_of(data), how.git_commit, scale)
    results.log(name, rows, claims, case, lineage)


def command_of(name: str, scale: str, seeds: int | None, params: Path) -> str:
    """What reproduces one experiment."""
    words = ["acme", "evaluate", "--only", name, "--scale", scale]
    words += ["--seeds", str(seeds)] if seeds else []
    return shlex.join(words if Case.here().reads(params) else [*words, "--params", str(params)])


def finish(scale: str) -> None:
    """Collect all claims of this scale and print them."""
    from tasks.experiments import results

    case = Case.here()
    found = results.collect(case.evaluation, scale)
    for ours, title in ((False, "The paper's claims"), (True, "Our goals for exchanges")):
        rows = [_verdict(r) for r in found if EXPERIMENTS[r["id"].split(".")[0]].ours == ours]
        if rows:
            print_rows(f"{title}, scale {scale}", rows, left=("id", "verdict"))
    print(f"\nClaims, tables and pictures: {case.shown(case.evaluation)}")


def _verdict(row: Mapping[str, Any]) -> dict[str, str]:
    low, high = row["ours_ci95"]
    return {
        "id": row["id"],
        "paper": "" if row["paper"] is None else f"{row['paper']:.4f}",
        "ours": f"{row['ours_mean']:.4f}",
        "95 % interval": "" if low is None else f"{low:.4f} to {high:.4f}",
        "seeds": str(len(row["seeds"])),
        "verdict": row["verdict"],
    }
