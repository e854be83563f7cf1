"""What an experiment leaves: a CSV of its rows, a PNG, its claims, and runs in MLflow.

::

    artifacts/evaluation/  claims.json  <experiment>.csv  <experiment>.png  <experiment>.json
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.experiments.canvas import png
from tasks.experiments.claim import Claim
from tasks.experiments.registry import EXPERIMENTS
from tasks.run.files import atomic_write, write_json
from tasks.run.written import read_written_json, write_sums
from tasks.settings.case import Case
from tasks.tracking.candidates import Candidate, Group, Lineage, Tracker

Row = dict[str, Any]


@dataclass(frozen=True)
class Circumstances:
    """How an experiment was run: what its results are reproduced by."""

    scale: str
    command: str
    hardware: str
    git_commit: str
    wall_s: float


def publish(out: Path, name: str, rows: Sequence[Row], how: Circumstances) -> list[Claim]:
    """Write one experiment's table, picture and claims."""
    frame, experiment = pd.DataFrame(rows), EXPERIMENTS[name]
    claims = experiment.judge(frame)
    flat = frame.drop(columns=[c for c in ("weights",) if c in frame])
    atomic_write(out / f"{name}.csv", flat.to_csv(index=False, float_format="%.6g").encode())
    atomic_write(out / f"{name}.png", png(experiment.figure(frame)))
    content = {**asdict(how), "claims": [claim.row() for claim in claims]}
    write_json(out / f"{name}.json", content)
    write_sums(out, [f"{name}.{suffix}" for suffix in ("csv", "json", "png")], part=name)
    return claims


def collect(
    out: Path, scale: str, read: Callable[[Path, str], Any] = read_written_json
) -> list[Row]:
    """All claims of this scale that lie in ``out``, written to ``claims.json``; ``read`` gives a
    file of it."""
    rows: list[Row] = []
    for name in EXPERIMENTS:
        file = f"{name}.json"
        if (out / file).exists() and (content := read(out, file))["scale"] == scale:
            rows += content["claims"]
    write_json(out / "claims.json", rows)
    return rows


def log(name: str, rows: Sequence[Row], claims: Sequence[Claim], case: Case, to: Lineage) -> None:
    """A run a row, below one parent that carries the claims' means."""
    digest = hashlib.sha256(json.dumps(rows, sort_keys=True, default=str).encode()).hexdigest()[:16]
    group = Group(
        digest,
        name,
        [_candidate(i, row) for i, row in enumerate(rows)],
        metrics={_metric(c.id): float(pd.Series(c.values).mean()) for c in claims},
        tags={"acme.experiment": name},
    )
    Tracker(case, to).log_group(f"evaluation-{name}", group)


def _candidate(index: int, row: Row) -> Candidate:
    plain = {k: v for k, v in row.items() if isinstance(v, bool | int | float | str)}
    metrics = {k: float(v) for k, v in plain.items() if type(v) is float}
    words = [str(plain[k]) for k in ("edge", "level", "method", "model", "header") if k in plain]
    shape = [f"{k[0]}{plain[k]}" for k in ("width", "depth") if k in plain]
    return Candidate(
        key=" ".join([*words, *shape, f"seed {row['seed']}", f"#{index}"]),
        params={k: v for k, v in plain.items() if k not in metrics},
        metrics=metrics,
    )


def _metric(claim: str) -> str:
    return claim.replace(" ", "-")
