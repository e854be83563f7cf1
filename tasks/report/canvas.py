"""What the report's pictures are drawn on, and how they become SVG that a page can hold."""

from __future__ import annotations

import io
import re
from typing import Any

INK, MUTED, ACCENT, WARM, COOL = "#1f2933", "#9aa5b1", "#c2410c", "#f2a65a", "#2563a6"
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
