"""The picture of docs/architecture.md and its tables, from the registry of kinds, the rooms'
docstrings and, in a folder that holds a run, its ledgers: ``make pictures``."""

from __future__ import annotations

import ast
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.links.kinds import Kind, declared
from tasks.report.canvas import COOL, INK
from tasks.report.columns import spelled
from tasks.run.files import atomic_write
from tasks.settings.case import Case

PAGE, PICTURE = Path("docs/architecture.md"), Path("docs/architecture.svg")
SIZES = Path("docs/messages.csv")  # what the kinds weighed in the run that the page shows
LAYERS = ("flows", "tasks", "models")
UP, RAW, PLAIN = "#b45309", "#b91c1c", "#52606d"
WIDTH, BOX, LINE = 9.0, 1.16, 0.24  # inches: the picture, a tier, a message
BEHIND = 0.07  # how far the boxes of a tier's others look out


FOOT = "Sizes: the median message of the default run. Every message goes through tasks/links."


@dataclass(frozen=True)
class Tier:
    """A box of the picture: what it does in short lines, and the rooms that do it."""

    name: str
    how_many: str
    color: str
    does: tuple[str, ...]
    sees: str
    rooms: tuple[str, ...]


TIERS = (
    Tier(
        "cloud",
        "one",
        "#e3edf8",
        (
            "makes one backbone elastic in width and depth,",
            "picks each cluster's on a Pareto front",
        ),
        "sees public data and statistics of the fleet",
        ("tasks/cloud", "models/backbone", "models/matching"),
    ),
    Tier(
        "edge",
        "one a cluster of devices",
        "#e6f2e8",
        ("searches the header that suits that backbone,", "mixes what alike devices tell"),
        "sees what its devices agreed to share",
        ("tasks/edge", "models/header"),
    ),
    Tier(
        "device",
        "many a cluster",
        "#fbefdc",
        ("trains its header, measures what matters in it,", "removes what does not, and again"),
        "its images and labels stay here, but those it agrees to share",
        ("tasks/device", "models/refinement"),
    ),
)


def measure(ledgers: Sequence[Path]) -> pd.DataFrame:
    """A row a kind that the run sent: how many messages, their median bytes, and in how many rounds
    of refinement one sends it to another at most (0: before the first)."""
    rows = pd.concat([pd.read_parquet(path) for path in ledgers])
    found = rows.groupby("kind").agg(messages=("bytes", "size"), bytes=("bytes", "median"))
    ways = rows[rows["round"] > 0].groupby(["kind", "sender", "receiver"])["round"].nunique()
    rounds = ways.groupby("kind").max().reindex(found.index, fill_value=0)
    return found.assign(rounds=rounds).astype(int).sort_index()


def sizes_of(path: Path) -> dict[str, str]:
    """How the picture and the page say what a message of each kind weighs."""
    rows = pd.read_csv(path, index_col="kind")
    return {
        str(kind): spelled(int(row["bytes"])) + (" a round" if row["rounds"] > 1 else "")
        for kind, row in rows.iterrows()
    }


def messages(kinds: Mapping[str, Kind], sizes: Mapping[str, str]) -> str:
    """The page's table: a row a kind."""
    lines = ["| message | from | to | size | holds |", "|---|---|---|---|---|"]
    for name, kind in kinds.items():
        size = sizes.get(name, "not in this run")
        lines.append(f"| `{name}` | {kind.sender} | {kind.receiver} | {size} | {holds(kind)} |")
    return "\n".join(lines)


def holds(kind: Kind) -> str:
    """What a message of this kind may hold, as its schema says."""
    values = [f"`{name}`" for name in sorted(kind.values)]
    values += [f"`{name}` (optional)" for name in sorted(kind.optional)]
    schemas = (kind.tensors or {}).items()
    tensors = [f"`{n}`" for n, schema in sorted(schemas) if not schema.optional]
    optional = [f"`{n}` (optional)" for n, schema in sorted(schemas) if schema.optional]
    weights = ["weights"] if kind.tensors is None else []
    words = ", ".join([*weights, *tensors, *optional, *values])
    return words + (": **raw samples**" if kind.raw else "")


def rooms(root: Path) -> str:
    """The page's other table: what each folder of code says of itself."""
    lines = ["| room | what it does |", "|---|---|"]
    for layer in LAYERS:
        folder = root / layer
        for path in [folder / "__init__.py", *sorted(folder.glob("*/__init__.py"))]:
            words = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split())
            lines.append(f"| `{path.parent.relative_to(root).as_posix()}` | {words} |")
    return "\n".join(lines)


def draw(kinds: Mapping[str, Kind], sizes: Mapping[str, str]) -> Any:
    """Three tiers, one below the other, and between them what crosses each link."""
    from matplotlib.figure import Figure

    links = [_between(kinds, *pair) for pair in (("cloud", "edge"), ("edge", "device"))]
    gaps = [0.5 + LINE * max(len(up), len(down)) for up, down in links]
    height = 3 * BOX + sum(gaps) + 0.35 + LINE
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, height))
    axes.axis("off")
    top = height - 0.08
    for i, tier in enumerate(TIERS):
        _box(axes, tier, top)
        top -= BOX
        if i < len(links):
            below = top - 2 * BEHIND * (i > 0), top - gaps[i]
            for side, names in zip(("up", "down"), links[i], strict=True):
                _link(axes, side, {n: kinds[n] for n in names}, sizes, below)
            top -= gaps[i]
    axes.text(0.15, top - 2 * BEHIND - 0.16, FOOT, color=PLAIN, fontsize=9, va="center")
    return figure


def _between(kinds: Mapping[str, Kind], upper: str, lower: str) -> tuple[list[str], list[str]]:
    """The kinds that go up and those that go down between two tiers."""
    up = [n for n, k in kinds.items() if (k.sender, k.receiver) == (lower, upper)]
    down = [n for n, k in kinds.items() if (k.sender, k.receiver) == (upper, lower)]
    return up, down


def _words(name: str) -> str:
    return name.replace("_", " ")


def _box(axes: Any, tier: Tier, top: float) -> None:
    middle = top - BOX / 2
    for behind in (2, 1, 0) if tier.name != "cloud" else (0,):
        _card(axes, tier.color, top - BEHIND * behind, BEHIND * behind)
    axes.text(0.32, middle + 0.1, tier.name, fontsize=18, weight="bold", color=INK, va="center")
    axes.text(0.34, middle - 0.24, tier.how_many, fontsize=8.5, color=PLAIN, va="center")
    for i, line in enumerate((*tier.does, tier.sees)):
        look = {"style": "italic", "color": PLAIN} if line == tier.sees else {"color": INK}
        axes.text(2.15, middle + 0.27 - 0.27 * i, line, fontsize=10.5, va="center", **look)
    start = middle + 0.115 * (len(tier.rooms) - 1)
    for i, room in enumerate(tier.rooms):
        look = {"family": "monospace", "color": PLAIN, "ha": "right", "va": "center"}
        axes.text(WIDTH - 0.35, start - 0.23 * i, room, fontsize=9, **look)


def _card(axes: Any, color: str, top: float, inset: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = "round,pad=0,rounding_size=0.1"
    corner, width = (0.1 + inset, top - BOX), WIDTH - 0.2 - 2 * inset
    card = FancyBboxPatch(corner, width, BOX, boxstyle=style, fc=color, ec=PLAIN, lw=0.9)
    axes.add_patch(card)


def _link(
    axes: Any,
    side: str,
    kinds: Mapping[str, Kind],
    sizes: Mapping[str, str],
    between: tuple[float, float],
) -> None:
    """One direction of a link: an arrow, and beside it its messages and their sizes."""
    (top, bottom), up = between, side == "up"
    x, color = (0.62, UP) if up else (WIDTH / 2 + 0.45, COOL)
    ends = ((x, bottom + 0.03), (x, top - 0.03))
    start, end = ends if up else ends[::-1]
    arrow = {"arrowstyle": "-|>,head_width=0.4,head_length=0.7", "lw": 2.6, "color": color}
    axes.annotate("", end, start, arrowprops={**arrow, "shrinkA": 0, "shrinkB": 0})
    first = (top + bottom) / 2 + LINE * (len(kinds) - 1) / 2
    for i, (name, kind) in enumerate(kinds.items()):
        y, words = first - LINE * i, _words(name) + (" (consented)" if kind.raw else "")
        axes.text(x + 0.25, y, words, fontsize=10.5, color=RAW if kind.raw else INK, va="center")
        look = {"color": PLAIN, "va": "center", "ha": "right"}
        axes.text(x + 3.5, y, sizes.get(name, ""), fontsize=9.5, **look)


def svg(figure: Any) -> str:
    """The figure as a file that is the same for the same words."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "acme", "font.family": "DejaVu Sans"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, facecolor="white")
    return buffer.getvalue()


def page_with(page: str, tables: Mapping[str, str]) -> str:
    """The page with these tables, each between the marks of its name."""
    for name, table in tables.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, rest = page.split(begin)
        page = f"{before}{begin}\n{table}\n{end}{rest.split(end)[1]}"
    return page


def tables(root: Path) -> dict[str, str]:
    """Both tables of the page, by the names of their marks."""
    return {"rooms": rooms(root), "messages": messages(declared(), sizes_of(root / SIZES))}


def main(root: Path = Path()) -> None:
    """Write sizes (where there are ledgers), tables and picture below ``root``."""
    case = Case(root)
    ledgers = [outcome / "ledger.parquet" for outcome in (case.backbone, case.customize)]
    if all(path.exists() for path in ledgers):
        measure(ledgers).to_csv(root / SIZES)
    atomic_write(root / PAGE, page_with((root / PAGE).read_text(), tables(root)).encode())
    atomic_write(root / PICTURE, svg(draw(declared(), sizes_of(root / SIZES))).encode())


if __name__ == "__main__":
    main()
