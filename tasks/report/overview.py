"""Pictures of the whole fleet, as inline SVG, of a bounded height."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from tasks.data.dataset import ALL
from tasks.report.canvas import ACCENT, COOL, INK, MUTED, WARM, blank, svg
from tasks.report.classes import Confusion
from tasks.report.columns import spelled, worst_first
from tasks.report.summary import CEILING

Row = Mapping[str, Any]
FEW = 24
"""Devices that have a line of their own; of more, a line is an edge."""
LINES = 40
"""Edges that have a line: the worst ones."""
CLASSES = 20
"""Of more classes there is no picture of what is taken for what."""
LEGEND = {"frameon": False, "loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "fontsize": 9}


def accuracy(devices: Sequence[Row]) -> str:
    """Test accuracies as received, told the own classes, and refined: a line a device, or, of
    many devices, a line an edge; worst first."""
    return _by_device(devices) if len(devices) <= FEW else _by_edge(devices)


def edges_worst_first(devices: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """The devices by edge, worst first; edges by their devices' mean refined accuracy."""
    rows = sorted(devices, key=lambda d: d["cluster"])
    groups = [
        (edge, worst_first(list(own))) for edge, own in groupby(rows, key=lambda d: d["cluster"])
    ]
    return sorted(groups, key=lambda group: float(np.mean(_column(group[1], "accuracy_refined"))))


def taken_for(confusion: Confusion) -> str | None:
    """What is taken for what: a row a class that there was, a column a class that was answered. Of
    one class, or of more than can be read, there is none."""
    names = sorted({*confusion, *(answer for row in confusion.values() for answer in row)})
    rows = [name for name in names if name in confusion]
    if not 1 < len(names) <= CLASSES:
        return None
    counts = np.array([[confusion[name].get(answer, 0) for answer in names] for name in rows])
    shares = counts / counts.sum(1, keepdims=True)
    figure, axes = blank(2.2 + 0.5 * len(names), 1.6 + 0.32 * len(rows))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (i, j), count in np.ndenumerate(counts):
        look = {"fontsize": 8, "color": "white" if shares[i, j] > 0.6 else INK}
        axes.text(j, i, f"{count:,}" if count else "", ha="center", va="center", **look)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xlabel("was answered")
    axes.set_ylabel("is")
    axes.spines[:].set_visible(False)
    return svg(figure, "how often each class was taken for which, all devices together")


def links(link: Mapping[str, float]) -> str:
    """Bytes per link direction, on a logarithmic scale."""
    figure, axes = blank(11.4, 2.0)
    names = {
        "centralised system's upload": "centralised_bytes",
        "downlink (models, public features)": "downlink_bytes",
        "consented shared samples": "shared_bytes",
        "uplink": "uplink_bytes",
    }
    values = [max(1, int(link[key])) for key in names.values()]
    y = np.arange(len(names))[::-1]
    axes.barh(y, values, color=[MUTED, WARM, COOL, ACCENT], height=0.6)
    for where, value in zip(y, values, strict=True):
        axes.text(value * 1.08, where, spelled(value), va="center", fontsize=9)
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 3, max(values) * 6)
    axes.set_yticks(y, list(names))
    axes.set_xlabel("bytes (logarithmic)")
    return svg(figure, "bytes that crossed the links, and what a centralised system would upload")


def _by_device(devices: Sequence[Row]) -> str:
    rows = [device for _, own in edges_worst_first(devices) for device in own]
    figure, axes = blank(11.4, 0.32 * len(rows) + 1.2)
    y = np.arange(len(rows))[::-1]
    received, refined = _column(rows, "accuracy_received"), _column(rows, "accuracy_refined")
    low, high = _column(rows, "accuracy_refined_low"), _column(rows, "accuracy_refined_high")
    own = _column(rows, "accuracy_received_own_classes")
    reference = _column(rows, "accuracy_reference_own_classes")
    axes.hlines(y, low, high, color=COOL, lw=7, alpha=0.2, zorder=1, label="refined, 95 %")
    axes.hlines(y, received, refined, color=MUTED, lw=2, zorder=2)
    axes.scatter(received, y, color=WARM, s=46, label="received", zorder=4)
    axes.scatter(own, y, marker="|", color=INK, s=110, label="received, own classes", zorder=3)
    axes.scatter(refined, y, color=COOL, s=46, label="refined", zorder=5)
    look = {"marker": "D", "facecolors": "none", "edgecolors": ACCENT}
    axes.scatter(reference, y, s=34, label="reference, own classes", zorder=6, **look)
    ceilings = [(d[CEILING], at) for d, at in zip(rows, y, strict=True) if CEILING in d]
    if ceilings:
        axes.scatter(*zip(*ceilings, strict=True), marker="|", color=COOL, s=190, label="ceiling")
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_yticks(y, [_called(d) for d in rows])
    axes.set_xlabel("accuracy on the device's own test split")
    axes.grid(axis="x", color="#e4e7eb")
    axes.legend(ncols=6, columnspacing=1.2, handletextpad=0.4, **LEGEND)
    return svg(figure, "accuracy of each device, received and refined")


def _called(device: Row) -> str:
    """A device by name and edge, and by its context where there are several."""
    words = [device["cluster"], *([] if device["context"] == ALL else [device["context"]])]
    return f"{device['device']}  ({', '.join(words)})"


def _by_edge(devices: Sequence[Row]) -> str:
    groups = edges_worst_first(devices)[:LINES]
    figure, axes = blank(11.4, 0.3 * len(groups) + 1.4)
    for at, (_, own) in enumerate(reversed(groups)):
        refined, received = _column(own, "accuracy_refined"), _column(own, "accuracy_received")
        axes.scatter(refined, np.full(len(own), at), color=COOL, s=26, alpha=0.35, lw=0)
        axes.scatter(received.mean(), at, color=WARM, s=46, zorder=3)
        axes.scatter(refined.mean(), at, marker="|", color=COOL, s=190, lw=2.4, zorder=4)
        reference = _column(own, "accuracy_reference_own_classes").mean()
        axes.scatter(reference, at, marker="D", s=34, facecolors="none", edgecolors=ACCENT)
    names = [f"{edge}  ({len(own)})" for edge, own in reversed(groups)]
    axes.set_yticks(range(len(groups)), names)
    axes.set_ylim(-0.6, len(groups) - 0.4)
    axes.set_xlabel("accuracy on the devices' own test splits")
    axes.grid(axis="x", color="#e4e7eb")
    axes.scatter([], [], color=COOL, s=26, alpha=0.35, label="a device, refined")
    axes.scatter([], [], marker="|", color=COOL, s=190, lw=2.4, label="mean refined")
    axes.scatter([], [], color=WARM, s=46, label="mean received")
    look = {"marker": "D", "facecolors": "none", "edgecolors": ACCENT}
    axes.scatter([], [], s=34, label="mean of the reference, own classes", **look)
    axes.legend(ncols=4, columnspacing=1.2, handletextpad=0.4, **LEGEND)
    return svg(figure, "accuracy of the devices of each edge, received and refined")


def _column(rows: Sequence[Row], name: str) -> Any:
    return np.array([row[name] for row in rows])
