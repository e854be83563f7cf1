"""What the report's pictures are drawn on, and how they become SVG that a page can hold."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

INK, MUTED, ACCENT, WARM, COOL = "#1f2933", "#9aa5b1", "#c2410c", "#f2a65a", "#2563a6"
NEAR = 8
"""Points of 1/72 inch to a name that needs no line."""
PLACES = [
    (side * (6 if up < NEAR else 10), sign * up)
    for up in (5, 10, 18, 26, 36, 48, 62, 78)
    for side in (1, -1)
    for sign in (1, -1)
]
"""Where a name may stand, from its point, in the order in which they are tried."""
FONT = "'DejaVu Sans'"
LIKE_IT = f"{FONT}, Verdana, sans-serif"
"""Fonts of the same widths, where a reader's machine lacks the first."""


def blank(width: float, height: float) -> tuple[Any, Any]:
    """An empty figure of inches, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, color=MUTED)
    return figure, axes


def scale(figure: Any, shown: Any, axes: Any, label: str, shrink: float = 1.0) -> None:
    """What the colours of ``shown`` mean, beside its axes."""
    bar = figure.colorbar(shown, ax=axes, label=label, pad=0.02, shrink=shrink)
    bar.ax.tick_params(labelsize=9, color=MUTED)


def name_points(axes: Any, points: Sequence[tuple[float, float]], names: Sequence[str]) -> None:
    """A name beside each point, where it covers neither another name nor a point; where that is
    nowhere near, further away, with a line to its point."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    canvas, figure = FigureCanvasAgg(axes.figure), axes.figure
    figure.draw_without_rendering()  # places are known once all else is laid out,
    figure.set_layout_engine("none")  # which is not done again
    renderer, (left, right) = canvas.get_renderer(), axes.bbox.intervalx
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in axes.transData.transform(points)]
    for point, name in zip(points, names, strict=True):
        for off in PLACES:
            text = _annotate(axes, name, point, off)
            text.update_positions(renderer)
            box = Text.get_window_extent(text, renderer)  # without its line
            free = left < box.x0 and box.x1 < right and not any(box.overlaps(t) for t in taken)
            if free or off == PLACES[-1]:
                break
            text.remove()
        taken.append(box)


def _annotate(axes: Any, name: str, point: tuple[float, float], off: tuple[int, int]) -> Any:
    line = {"arrowstyle": "-", "color": MUTED, "lw": 0.6, "shrinkB": 3}
    text = axes.annotate(
        name,
        point,
        off,
        textcoords="offset points",
        ha="left" if off[0] > 0 else "right",
        va="center",
        fontsize=7,
        color=INK,
        arrowprops=line if abs(off[1]) > NEAR else None,
    )
    text.set_in_layout(False)
    return text


def svg(figure: Any, title: str) -> str:
    """The figure as an SVG element, without the XML prologue; its text is text, and ``title`` says
    what it shows to who cannot see it.

    The title also salts the names of its parts: several pictures of a page share none.
    """
    import matplotlib as mpl
    from markupsafe import Markup, escape

    buffer = io.StringIO()
    look = {"svg.hashsalt": title, "svg.fonttype": "none", "font.family": "DejaVu Sans"}
    with mpl.rc_context(look):  # type: ignore[arg-type]
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", buffer.getvalue(), flags=re.S)
    element = text[text.index("<svg") :].replace(FONT, LIKE_IT)
    label = f'<svg role="img" aria-label="{escape(title)}"'
    return Markup(label + _without_unused_ids(element).removeprefix("<svg"))


def _without_unused_ids(element: str) -> str:
    """An id is unique in a page; those that nothing refers to go."""
    used = set(re.findall(r"#([\w-]+)", element))
    return re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", element)
