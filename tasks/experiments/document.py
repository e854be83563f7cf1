"""docs/results.md, and parts of the README and docs/exchange.md, generated from docs/results."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.statistics import interval
from tasks.experiments.exchange.tables import tables_of
from tasks.experiments.fleet.claims import fleet_claims
from tasks.experiments.fleet.claims import fleet_table as table_of
from tasks.experiments.registry import EXPERIMENTS
from tasks.experiments.results import collect
from tasks.run.errors import ArtifactError
from tasks.run.files import atomic_write, read_json
from tasks.run.written import read_written_json

RESULTS, PAGE, README = Path("docs/results"), Path("docs/results.md"), Path("README.md")
EXCHANGE = Path("docs/exchange.md")
NOTES = "notes"  # what people wrote about an experiment: docs/results/notes/<experiment>.md
HEADLINES = (  # of the README
    "fleet.over-own-classes",
    "table1.upload",
    "table1.search-space",
    "table1.accuracy",
    "fig1.spread",
    "fig7a.test.over-best",
    "fig7a.test.over-mean",
    "fig7b.all",
    "fig8.over-linear-small",
    "fig8.over-linear-large",
    "fig9.score",
    "fig9.latency",
    "fig10.wasserstein-rank-agreement-debiased",
    "fig11.C2.gain",
    "fig11.C2.over-alone",
    "fig12.smallest",
    "fig12.largest",
)
Row = dict[str, Any]


def publish_page(out: Path, root: Path = Path()) -> list[str]:
    """Copy a finished run into docs/results and write the pages and the tables from it.

    Returns:
        The experiments that the run did not hold (their older results stay).

    Raises:
        ArtifactError: the run holds no results of the scale ``default``.
    """
    target = root / RESULTS
    runs = _runs(out, read_written_json)
    chosen = [name for name, run in runs.items() if run["scale"] == "default"]
    if not chosen:
        raise ArtifactError(f"{out}: no results at scale default. Run acme evaluate first.")
    target.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        for suffix in ("csv", "png", "json"):
            shutil.copyfile(out / f"{name}.{suffix}", target / f"{name}.{suffix}")
    collect(target, "default", committed)
    atomic_write(root / PAGE, render(target).encode())
    for page, parts in MARKED.items():
        text = with_tables((root / page).read_text(), target, parts)
        atomic_write(root / page, text.encode())
    return [name for name in EXPERIMENTS if name not in chosen]


def committed(folder: Path, name: str) -> Any:
    """A file of results that git keeps."""
    return read_json(folder / name)


def _runs(folder: Path, read: Callable[[Path, str], Any] = committed) -> dict[str, Row]:
    """What lies in ``folder``, by experiment, the paper's and ours."""
    files = {name: f"{name}.json" for name in EXPERIMENTS}
    return {name: read(folder, f) for name, f in files.items() if (folder / f).exists()}


def render(folder: Path) -> str:
    """The whole page of the paper's experiments as Markdown."""
    runs = {name: run for name, run in _runs(folder).items() if not EXPERIMENTS[name].ours}
    parts = [_head(runs), *(_section(folder, name, run) for name, run in runs.items())]
    return "\n\n".join(parts) + "\n"


def headlines(folder: Path) -> str:
    """The README's table."""
    rows = {row["id"]: row for row in read_json(folder / "claims.json")}
    return _table([rows[id] for id in HEADLINES if id in rows])


Parts = Mapping[str, Callable[[Path], str]]
"""What stands between two marks of a page, by their name: made of a folder of results, or empty."""


def with_tables(page: str, folder: Path, parts: Parts) -> str:
    """A page with what the results in ``folder`` say between its marks.

    Raises:
        ArtifactError: marks are not there.
    """
    for part, table_from in parts.items():
        begin, end = (f"<!-- {part}: {word} -->" for word in ("begin", "end"))
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ArtifactError(f"the marks {begin} and {end} are missing")
        if table := table_from(folder):
            page = f"{before}{begin}\n{table}\n{end}{after}"
    return page


def fleet(folder: Path) -> str:
    """The default fleet's accuracies, and what 100 test samples can tell."""
    path = folder / "fleet.csv"
    if not path.exists():
        return ""
    frame = pd.read_csv(path)
    lines = ["| accuracy of | mean over the devices | worst device |", "|---|---|---|"]
    lines += [f"| {w} | {_with_interval(m)} | {_with_interval(o)} |" for w, m, o in table_of(frame)]
    seeds, samples = frame.seed.nunique(), int(frame.test_samples.median())
    error = 100 * (frame.accuracy.mean() * (1 - frame.accuracy.mean()) / samples) ** 0.5
    up = {claim.id: np.mean(list(claim.values.values())) for claim in fleet_claims(frame)}
    return "\n".join(
        [
            *lines,
            "",
            f"Means of {seeds} seeds (`acme evaluate --only fleet --scale default`: these settings "
            "on one thread) with 95 % intervals (Student's t). A device's test split has "
            f"{samples} samples, so one sample is {100 / samples:.2g} % of it and one device's "
            f"accuracy in one run has a standard error of {error:.1f} points: single devices "
            "cannot be compared by it, and the worst of them is partly the unluckiest. Devices "
            f"send up {up['fleet.upload']:.1%} of the bytes of their raw data (paper: 6 %), "
            f"{up['fleet.upload-with-shared']:.1%} with the samples that they consented to share.",
        ]
    )


def exchanged(folder: Path, name: str) -> str:
    """One of our experiments: its picture, tables, claims."""
    run = _runs(folder).get(name)
    if run is None:
        return ""
    drawn = EXPERIMENTS[name].room == "exchange"
    tables = tables_of(pd.read_csv(folder / f"{name}.csv")) if drawn else ""
    return _section(folder, name, run, tables)


MARKED: dict[Path, Parts] = {
    README: {"fleet": fleet, "results": headlines},
    EXCHANGE: {name: partial(exchanged, name=name) for name, of in EXPERIMENTS.items() if of.ours},
}
"""The pages that people wrote, with parts that are generated."""


def _with_interval(values: pd.Series) -> str:
    bounds = interval(values.tolist())
    mean = f"{values.mean():.3f}"
    return mean if bounds is None else f"{mean} ({bounds[0]:.3f} to {bounds[1]:.3f})"


def _head(runs: dict[str, Row]) -> str:
    verdicts = [claim["verdict"] for run in runs.values() for claim in run["claims"]]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in ("holds", "direction", "fails"))
    return f"""# The paper's evaluation, run again

Generated by `acme results` from [docs/results](results): do not edit. Each row gives the paper's
number, ours as the mean over seeds with its 95 % interval (Student's t), and a verdict:

- **holds**: the whole interval lies beyond the neutral value, and the mean reaches the paper's
  number (where the paper gives none, the first part decides);
- **direction**: the interval lies beyond the neutral value, but the mean falls short of the number;
- **fails**: everything else.

Differences are taken within a seed, so two methods are always compared on the same data; intervals
in the pictures leave out what all methods of a seed share (Cousineau 2005). Choices
are made on training and validation data; test splits are read once, after them. Accuracies and
their differences are fractions of 1. Energies are modelled (Eq. 1-2). The data is Fashion-MNIST
(Fig. 13: scikit-learn's digits), the large model a small ViT trained here: the paper's own setting
is `--scale paper`. Of {len(verdicts)} claims: {counts}."""


def _section(folder: Path, name: str, run: Row, tables: str = "") -> str:
    notes = folder / NOTES / f"{name}.md"
    words = f"{notes.read_text().strip()}\n\n" if notes.exists() else ""
    tables = f"{tables}\n\n" if tables else ""
    title = EXPERIMENTS[name].title
    return f"""## {title}

![{title}](results/{name}.png)

{tables}{_table(run["claims"])}

{words}<sub>`{run["command"]}` on {run["hardware"]}, commit {run["git_commit"][:10]}; rows: \
[{name}.csv](results/{name}.csv)</sub>"""


def _table(rows: Sequence[Row]) -> str:
    lines = [
        "| claim | paper | ours | 95 % interval | seeds | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = row["ours_ci95"]
        cells = (
            f"{row['claim']} (`{row['id']}`)",
            "" if row["paper"] is None else _number(row["paper"]),
            _number(row["ours_mean"]),
            "" if low is None else f"{_number(low)} to {_number(high)}",
            str(len(row["seeds"])),
            row["verdict"],
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: float) -> str:
    """Four decimals, or four digits where that would show nothing."""
    return f"{value:.4f}" if abs(value) >= 0.001 or value == 0 else f"{value:.1e}"
