"""Pictures of one cluster's candidates, mixing and header, as inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from models.header.build import HeaderConfig
from tasks.links.records import Header, Match, Mixing
from tasks.report.canvas import ACCENT, COOL, INK, MUTED, blank, name_points, scale, svg
from tasks.report.columns import counted, loss_chosen_by
from tasks.report.layers import END, INPUTS, graph_of, layered

Row = Mapping[str, Any]
FEW = 12
"""Devices of a cluster whose weights are written into the picture; of more, it is a heat map."""


def front(match: Match, variants: Sequence[Row], header_budget: int) -> str:
    """Validation loss against parameters: the grid, what fits, the front, and the choice."""
    title = f"{match.edge}: validation loss against parameters of every variant"
    return svg(draw_front(match, variants, header_budget), title)


def draw_front(match: Match, variants: Sequence[Row], header_budget: int) -> Any:
    """The figure of :func:`front`; its legend, which also names the limits, is above it."""
    figure, axes = blank(5.4, 3.6)
    x = np.array(counted(match, variants)) / 1e3
    y = np.array([loss_chosen_by(v) for v in variants])
    energy = np.array(match.modelled_energy_joule)
    fits, on_front = list(match.fitting), sorted(match.front, key=lambda i: x[i])
    rest = sorted(set(range(len(variants))) - set(fits))
    axes.scatter(x[rest], y[rest], s=26, facecolors="none", edgecolors=MUTED, label="too large")
    shown = axes.scatter(x[fits], y[fits], c=energy[fits], s=42, cmap="viridis_r", zorder=3)
    axes.scatter(
        x[on_front], y[on_front], s=110, facecolors="none", edgecolors=COOL, label="front", zorder=4
    )
    chosen = match.chosen
    axes.scatter(x[chosen], y[chosen], s=190, marker="*", color=ACCENT, label="chosen", zorder=5)
    _limits(axes, match, header_budget, float(x.max()))
    axes.set_xlabel("backbone parameters (thousands)")
    axes.set_ylabel("public validation loss")
    scale(figure, shown, axes, "modelled energy (J)")
    figure.legend(frameon=False, fontsize=8, loc="outside upper left", ncols=3)
    return figure


def _limits(axes: Any, match: Match, header_budget: int, largest: float) -> None:
    """Lines at the limits, in thousands; one far beyond the ``largest`` variant is only named."""
    for limit, name, style in (
        (match.limit / 1e3, "smallest limit", "-"),
        ((match.limit - header_budget) / 1e3, "less the header's budget", "--"),
    ):
        inside, look = limit < 1.5 * largest, {"color": MUTED, "lw": 1, "ls": style, "zorder": 0}
        words = f"{name}, {limit:.0f} k" + ("" if inside else " (further right)")
        if inside:
            axes.axvline(limit, label=words, **look)
        else:
            axes.plot([], [], label=words, **look)


def candidates(rows: Sequence[Row], names: Sequence[str], energy_joule: Sequence[float]) -> str:
    """Validation accuracy of every candidate of a group against its size, coloured by energy."""
    title = "validation accuracy against parameters of every candidate"
    return svg(draw_candidates(rows, names, energy_joule), title)


def draw_candidates(
    rows: Sequence[Row], names: Sequence[str], energy_joule: Sequence[float]
) -> Any:
    """The figure of :func:`candidates`."""
    figure, axes = blank(6.4, 4.2)
    x = np.array([row["parameters"] for row in rows]) / 1e3
    y = np.array([row["val_accuracy"] for row in rows])
    shown = axes.scatter(x, y, c=list(energy_joule), s=46, cmap="viridis_r", zorder=3)
    axes.set_xlabel("parameters (thousands)")
    axes.set_ylabel("validation accuracy")
    scale(figure, shown, axes, "modelled energy (J)")
    axes.margins(0.14, 0.08)
    name_points(axes, list(zip(x, y, strict=True)), names)
    return figure


def similarity(mixing: Mixing) -> str:
    """Who listens to whom: the rows' mixing weights (Eq. 20)."""
    weights, names = np.array(mixing.weights), [d.removeprefix("device-") for d in mixing.devices]
    few = len(names) <= FEW
    side = max(3.2, 0.48 * len(names)) if few else 4.4
    figure, axes = blank(side + 0.3, side)
    top = max(0.5, weights.max()) if few else weights.max()
    shown = axes.imshow(weights, cmap="Blues", vmin=0, vmax=top)
    if few:
        _write_values(axes, weights, top)
    else:
        scale(figure, shown, axes, "weight", 0.8)
    ticks = range(0, len(names), 1 + (len(names) - 1) // FEW)
    axes.set_xticks(ticks, [names[i] for i in ticks])
    axes.set_yticks(ticks, [names[i] for i in ticks])
    axes.set_xlabel("listens to device")
    axes.set_ylabel("device")
    for spine in axes.spines.values():
        spine.set_visible(False)
    return svg(figure, f"{mixing.edge}: how much each device listens to each")


def _write_values(axes: Any, weights: Any, top: float) -> None:
    for (i, j), value in np.ndenumerate(weights):
        color = "white" if value > 0.6 * top else INK
        axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=8, color=color)


def dag(edge: str, header: Header) -> str:
    """The found header as a graph; a fixed header has none and is named."""
    return svg(draw_header(header), f"{edge}: the header {header.name} as a graph")


def draw_header(header: Header) -> Any:
    """The figure of :func:`dag`."""
    architecture = HeaderConfig.from_dict(header.config).architecture
    if architecture is None:
        figure, axes = blank(6.4, 3.0)
        axes.axis("off")
        axes.text(0.5, 0.5, f"fixed header: {header.kind}", ha="center", fontsize=12, color=INK)
        return figure
    graph = graph_of(architecture)
    places, ways = layered(graph)
    columns, rows = (len(set(values)) for values in zip(*places.values(), strict=True))
    figure, axes = blank(max(6.4, 0.95 * columns), max(2.2, 0.42 * rows))
    axes.axis("off")
    axes.margins(0.5 / columns, 0.12)
    for way in ways:
        axes.add_patch(_way([places[node] for node in way]))
    for node, values in graph.nodes.items():
        unread = node in INPUTS and not graph.out_degree(node)
        _node(axes, places[node], node, values.get("label"), unread)
    axes.autoscale_view()
    return figure


def _node(
    axes: Any, place: tuple[float, float], node: Any, label: str | None, unread: bool
) -> None:
    """A box for an input, a block or the end; an operation's bare name."""
    named = {0: "last layer", 1: "penultimate", END: "pool, [CLS]\nclassifier"}
    plate: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    if label is None:
        color = "#e0ecf8" if node in INPUTS else "#e7f2e4" if node == END else "#fdebd8"
        plate = {"boxstyle": "round,pad=0.4", "facecolor": color, "edgecolor": INK, "lw": 0.8}
    text = label or named.get(node, f"block {node - 1}\n+")
    text += "\n(not read)" if unread else ""
    ink = ACCENT if label else INK
    axes.text(*place, text, ha="center", va="center", fontsize=8, color=ink, bbox=plate, zorder=3)


def _way(points: Sequence[tuple[float, float]]) -> Any:
    """A line from left to right that is level at each of its points."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    vertices = [points[0]]
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (x0 + x1) / 2
        vertices += [(middle, y0), (middle, y1), (x1, y1)]
    codes = [Path.MOVETO, *[Path.CURVE4] * (len(vertices) - 1)]
    return PathPatch(Path(vertices, codes), fill=False, edgecolor=MUTED, lw=1.3, zorder=1)
