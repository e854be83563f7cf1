"""The report's pictures, as inline SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from models.header.build import HeaderConfig
from tasks.links.records import Header, Match, Mixing
from tasks.report.layers import END, INPUTS, graph_of, layered

Row = dict[str, Any]
INK, MUTED, ACCENT, WARM, COOL = "#1f2933", "#9aa5b1", "#c2410c", "#f2a65a", "#2563a6"


def front(match: Match, variants: Sequence[Row], header_budget: int) -> str:
    """Validation loss against parameters: the grid, what fits, the front, and the choice."""
    figure, axes = _figure(5.4, 3.6)
    x = np.array([v["parameters"] for v in variants]) / 1e3
    y = np.array([v["val_loss"] for v in variants])
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
    for limit, name in (
        (match.limit, "smallest limit"),
        (match.limit - header_budget, "less the header's budget"),
    ):
        axes.axvline(limit / 1e3, color=MUTED, lw=1, ls="--", zorder=0)
        axes.annotate(
            f"{name} {limit / 1e3:.0f} k",
            (limit / 1e3, 1),
            xycoords=("data", "axes fraction"),
            xytext=(-3, -3),
            textcoords="offset points",
            ha="right",
            va="top",
            rotation=90,
            fontsize=7.5,
            color=INK,
        )
    axes.set_xlabel("backbone parameters (thousands)")
    axes.set_ylabel("public validation loss")
    figure.colorbar(shown, ax=axes, label="modelled energy (J)", pad=0.02)
    axes.legend(frameon=False, fontsize=8, loc="upper right")
    return _svg(figure)


def candidates(rows: Sequence[Row], names: Sequence[str], energy_joule: Sequence[float]) -> str:
    """Validation accuracy of every candidate of a group against its size, coloured by energy."""
    figure, axes = _figure(6.4, 4.2)
    x = np.array([row["parameters"] for row in rows]) / 1e3
    y = np.array([row["val_accuracy"] for row in rows])
    shown = axes.scatter(x, y, c=list(energy_joule), s=46, cmap="viridis_r", zorder=3)
    for place, name in zip(zip(x, y, strict=True), names, strict=True):
        axes.annotate(name, place, xytext=(4, 4), textcoords="offset points", fontsize=7, color=INK)
    axes.set_xlabel("parameters (thousands)")
    axes.set_ylabel("validation accuracy")
    figure.colorbar(shown, ax=axes, label="modelled energy (J)", pad=0.02)
    return _svg(figure)


def similarity(mixing: Mixing) -> str:
    """Who listens to whom: the rows' mixing weights (Eq. 20)."""
    figure, axes = _figure(3.4, 3.0)
    weights, names = np.array(mixing.weights), [d.removeprefix("device-") for d in mixing.devices]
    axes.imshow(weights, cmap="Blues", vmin=0, vmax=max(0.5, weights.max()))
    for i, row in enumerate(weights):
        for j, value in enumerate(row):
            color = "white" if value > 0.3 else INK
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=8, color=color)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("listens to device")
    axes.set_ylabel("device")
    for spine in axes.spines.values():
        spine.set_visible(False)
    return _svg(figure)


def accuracy(devices: Sequence[Row]) -> str:
    """Every device's test accuracy as received, restricted to its classes, and refined."""
    figure, axes = _figure(8.6, 0.32 * len(devices) + 1.2)
    y = np.arange(len(devices))[::-1]
    received = np.array([d["accuracy_received"] for d in devices])
    own = np.array([d["accuracy_received_own_classes"] for d in devices])
    refined = np.array([d["accuracy_refined"] for d in devices])
    axes.hlines(y, received, refined, color=MUTED, lw=2, zorder=1)
    axes.scatter(received, y, color=WARM, s=46, label="received", zorder=3)
    axes.scatter(own, y, marker="|", color=INK, s=110, label="received, own classes only", zorder=2)
    axes.scatter(refined, y, color=COOL, s=46, label="refined", zorder=4)
    axes.set_yticks(y, [f"{d['device']}  ({d['cluster']})" for d in devices])
    axes.set_xlabel("accuracy on the device's own test split")
    axes.grid(axis="x", color="#e4e7eb")
    axes.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=9)
    return _svg(figure)


def links(link: Mapping[str, float]) -> str:
    """Bytes per link direction, on a logarithmic scale."""
    figure, axes = _figure(8.6, 2.0)
    names = {
        "centralised system's upload": "centralised_bytes",
        "downlink (models, public features)": "downlink_bytes",
        "consented shared samples": "shared_bytes",
        "uplink": "uplink_bytes",
    }
    values = [link[key] for key in names.values()]
    y = np.arange(len(names))[::-1]
    axes.barh(y, values, color=[MUTED, WARM, COOL, ACCENT], height=0.6)
    for where, value in zip(y, values, strict=True):
        axes.text(value * 1.08, where, f"{value / 1e6:.2f} MB", va="center", fontsize=9)
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 3, max(values) * 4)
    axes.set_yticks(y, list(names))
    axes.set_xlabel("bytes (logarithmic)")
    return _svg(figure)


def dag(header: Header) -> str:
    """The found header as a graph; a fixed header has none and is named."""
    architecture = HeaderConfig.from_dict(header.config).architecture
    if architecture is None:
        figure, axes = _figure(6.4, 3.0)
        axes.axis("off")
        axes.text(0.5, 0.5, f"fixed header: {header.kind}", ha="center", fontsize=12, color=INK)
        return _svg(figure)
    graph = graph_of(architecture)
    places, ways = layered(graph)
    columns, rows = (len(set(values)) for values in zip(*places.values(), strict=True))
    figure, axes = _figure(max(6.4, 0.85 * columns), max(2.2, 0.3 * rows))
    axes.axis("off")
    axes.margins(0.5 / columns, 0.12)
    for way in ways:
        axes.add_patch(_way([places[node] for node in way]))
    for node, values in graph.nodes.items():
        _node(axes, places[node], node, values.get("label"))
    axes.autoscale_view()
    return _svg(figure)


def _node(axes: Any, place: tuple[float, float], node: Any, label: str | None) -> None:
    """A box for an input, a block or the end; an operation's bare name."""
    named = {0: "last layer", 1: "penultimate", END: "pool, [CLS]\nclassifier"}
    plate: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    if label is None:
        color = "#e0ecf8" if node in INPUTS else "#e7f2e4" if node == END else "#fdebd8"
        plate = {"boxstyle": "round,pad=0.4", "facecolor": color, "edgecolor": INK, "lw": 0.8}
    text = label or named.get(node, f"block {node - 1}\n+")
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


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, color=MUTED)
    return figure, axes


def _svg(figure: Any) -> str:
    """The figure as an SVG element, without the XML prologue."""
    import matplotlib as mpl
    from markupsafe import Markup

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "acme", "font.family": "DejaVu Sans"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return Markup(text[text.index("<svg") :])
