"""Goals beside what was reached, as Markdown; and where it stands in a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from examples.glyphs.measure import FEW, Row
from models.statistics import interval
from tasks.run.errors import ArtifactError
from tasks.run.files import atomic_write

BEGIN, END = "<!-- glyphs: begin -->", "<!-- glyphs: end -->"


@dataclass(frozen=True)
class Line:
    """What is reported of each seed, and what its mean should reach; None: it is there to compare
    with."""

    words: str
    of: Callable[[Row], float]
    goal: float | None = None


LINES = (
    Line("reference", lambda row: row["reference"], 0.97),
    Line("its variant of width 1, depth 6", lambda row: row["full"]),
    Line("its variant of width 0.25, depth 2", lambda row: row["smallest"], 0.93),
    Line("plain CNN", lambda row: row["cnn"]),
    Line(f"reference of {FEW:,} images", lambda row: row["few"], 0.88),
    Line("unseen families: reference", lambda row: row["unseen_reference"]),
    Line("unseen families: variant of width 1, depth 6", lambda row: row["unseen_full"]),
    Line("unseen families: variant of width 0.25, depth 2", lambda row: row["unseen_smallest"]),
    Line("unseen families: plain CNN", lambda row: row["unseen_cnn"]),
    Line(
        "unseen families: reference less CNN",
        lambda row: row["unseen_reference"] - row["unseen_cnn"],
        0.0,
    ),
    Line(
        "unseen families: variant of width 0.25, depth 2 less CNN",
        lambda row: row["unseen_smallest"] - row["unseen_cnn"],
    ),
)


def table(rows: Sequence[Row]) -> str:
    """The means over the seeds with their 95 % intervals, beside the goals."""
    lines = ["| accuracy on test | goal | mean (95 % interval) | |", "|---|---|---|---|"]
    for line in LINES:
        values = [line.of(row) for row in rows]
        goal = "" if line.goal is None else f"{line.goal:.2f}"
        reached = "" if line.goal is None else ("missed", "reached")[mean(values) >= line.goal]
        lines.append(f"| {line.words} | {goal} | {_spread(values)} | {reached} |")
    seconds = max(row["seconds"] for row in rows)
    return "\n".join(
        [*lines, "", f"Seeds: {len(rows)}. The reference took {seconds:.0f} s at most."]
    )


def publish(page: Path, words: str) -> None:
    """Put ``words`` between the marks of a page.

    Raises:
        ArtifactError: it is not there, or its marks are not.
    """
    text = page.read_text()
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (begun and ended):
        raise ArtifactError(f"{page}: the marks {BEGIN} and {END} are missing")
    atomic_write(page, f"{before}{BEGIN}\n{words}\n{END}{after}".encode())


def _spread(values: Sequence[float]) -> str:
    bounds = interval(values)
    middle = f"{mean(values):.3f}"
    return middle if bounds is None else f"{middle} ({bounds[0]:.3f} to {bounds[1]:.3f})"
