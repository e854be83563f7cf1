"""The figures in the paper's layout, as PNG: means over seeds, bars for 95 % intervals."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from models.statistics import interval
from tasks.experiments.claims.refining import corners_of
from tasks.experiments.grid import AUTHORS_LIMIT

COLORS = ["#c2410c", "#2563a6", "#3f8f5b", "#8a63b8", "#b08900", "#5f6b7a", "#c2577e", "#2a9d9d"]
COLORS += ["#6b4226"]  # Fig. 7b has nine headers
INK = "#1f2933"


def draw(name: str, frame: pd.DataFrame) -> bytes:
    """The figure of one experiment."""
    figure = FIGURES[name](frame)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()


def _panels(count: int, width: float = 5.4, height: float = 3.9) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * count, height), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, count))
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="#e4e7eb", lw=0.7)
        axis.set_axisbelow(True)
    return figure, list(axes)


def _mean(values: Iterable[float]) -> tuple[float, float]:
    """Mean and half the width of its interval (0 where one seed gives none)."""
    numbers = list(values)
    mean, bounds = float(np.mean(numbers)), interval(numbers)
    return mean, (bounds[1] - mean if bounds else 0.0)


def _by_seed(frame: pd.DataFrame, column: str) -> tuple[float, float]:
    return _mean(frame.groupby("seed")[column].mean())


def _bars(axis: Any, groups: dict[str, dict[str, tuple[float, float]]], label: str) -> None:
    """``groups[x][series]``: bars side by side, with intervals and, where they are few, values."""
    series = list(dict.fromkeys(s for g in groups.values() for s in g))
    width = 0.84 / len(series)
    for i, name in enumerate(series):
        at = [x + (i - (len(series) - 1) / 2) * width for x in range(len(groups))]
        mean, error = zip(*(g.get(name, (np.nan, 0)) for g in groups.values()), strict=True)
        axis.bar(at, mean, width * 0.94, yerr=error, color=COLORS[i % 9], label=name, capsize=2)
    axis.set_xticks(range(len(groups)), list(groups))
    axis.set_ylabel(label)


def _fig1(frame: pd.DataFrame) -> Any:
    figure, (left, right) = _panels(2)
    full = frame[frame.width == frame.width.max()]
    depths = sorted(full.depth.unique())
    accuracy = [_by_seed(full[full.depth == d], "test_accuracy") for d in depths]
    left.errorbar(
        depths, [a[0] for a in accuracy], [a[1] for a in accuracy], color=COLORS[0], marker="o"
    )
    left.set(xlabel="depth (layers), width 1", ylabel="test accuracy")
    energy = full.groupby("depth").modelled_energy_joule.mean()
    other = left.twinx()
    other.plot(depths, energy / energy.max(), color=COLORS[1], marker="s", ls="--")
    other.set_ylabel("modelled energy, share of the largest", color=COLORS[1])
    other.set_ylim(0, 1.05)
    product = (frame.width * frame.depth).round(6)
    sizes = product.value_counts()
    shown: list[float] = sorted(sizes[sizes > frame.seed.nunique()].index.tolist())
    names, values = [], []
    for value in shown:
        rows = frame[product == value].drop_duplicates(["width", "depth"])
        for _, row in rows.sort_values("depth").iterrows():
            same = frame[(frame.width == row.width) & (frame.depth == row.depth)]
            names.append(f"{row.width:g}x{int(row.depth)}\n{int(row.parameters) // 1000}k")
            values.append((*_by_seed(same, "test_accuracy"), value))
    palette = {v: COLORS[i % 9] for i, v in enumerate(shown)}
    for x, (mean, error, value) in enumerate(values):
        right.bar(x, mean, yerr=error, color=palette[value], capsize=2)
    right.set_xticks(range(len(names)), names, fontsize=7)
    low = min(v[0] for v in values)
    right.set(ylim=(max(0, low - 0.08), None), ylabel="test accuracy")
    right.set_xlabel("width x depth, parameters; one colour, one product")
    return figure


def _fig7a(frame: pd.DataFrame) -> Any:
    figure, (left, right) = _panels(2, 6.2)
    for i, model in enumerate(frame.model.unique()):
        rows = frame[frame.model == model]
        mean, error = _by_seed(rows, "test_accuracy")
        size = rows.parameters.mean() / 1e3
        left.errorbar(size, mean, error, marker="*" if i == 0 else "o", color=COLORS[i % 9])
        left.annotate(model, (size, mean), textcoords="offset points", xytext=(5, 5), fontsize=8)
    left.set(xlabel="thousand parameters", ylabel="test accuracy, public")
    names = {
        "device_received": "received",
        "device_own_classes": "own classes",
        "device_tuned": "tuned",
    }
    groups = {
        model.replace(", ", "\n").replace("pre-training", "\npre-training"): {
            words: _by_seed(frame[frame.model == model], c) for c, words in names.items()
        }
        for model in frame.dropna(subset=list(names)).model.unique()
    }
    _bars(right, groups, "mean accuracy on the devices")
    right.set_ylim(_floor(frame[list(names)]), 1)
    right.tick_params(axis="x", labelsize=7, labelrotation=20)
    right.legend(fontsize=8, loc="upper center", ncols=3)
    return figure


def _fig7b(frame: pd.DataFrame) -> Any:
    figure, (axis,) = _panels(1, 8)
    whole = frame[frame.width == frame.width.max()]
    groups = {}
    for depth in sorted(whole.depth.unique(), reverse=True):
        rows = whole[whole.depth == depth]
        size = rows[rows.header == "linear"].total_parameters.mean() / 1e3
        groups[f"depth {depth}\n{size:.0f}k"] = {
            kind: _by_seed(rows[rows.header == kind], "test_accuracy")
            for kind in rows.header.unique()
        }
    _bars(axis, groups, "test accuracy")
    axis.set_ylim(_floor(whole[["test_accuracy"]]), None)
    axis.set_xlabel("backbone at width 1, parameters with a linear header")
    axis.legend(fontsize=7, ncols=3, loc="upper right")
    return figure


def _fig8(frame: pd.DataFrame) -> Any:
    kinds = ["searched", *sorted(set(frame.header) - {"searched"})]
    figure, axes = _panels(len(kinds), 3.6, 3.4)
    low, high = frame.test_accuracy.min(), frame.test_accuracy.max()
    for axis, kind in zip(axes, kinds, strict=True):
        table = frame[frame.header == kind].pivot_table(
            index="depth", columns="width", values="test_accuracy"
        )
        table = table.sort_index(ascending=False)[sorted(table.columns, reverse=True)]
        _heat(axis, table.to_numpy(), low, high)
        axis.set_xticks(range(table.shape[1]), [f"{w:g}" for w in table.columns])
        axis.set_yticks(range(table.shape[0]), table.index)
        axis.set(title=kind, xlabel="width", ylabel="depth")
    return figure


def _fig9(frame: pd.DataFrame) -> Any:
    columns = {
        "energy_efficiency": "accuracy per unit of energy",
        "size_efficiency": "accuracy per unit of size",
        "plotted_score": "trade-off: acc - (size + energy) / 2",
        "work_s": "seconds to select, scoring counted",
    }
    figure, axes = _panels(len(columns), 3.6, 3.6)
    frame = frame[frame.edge != AUTHORS_LIMIT]
    for axis, (column, words) in zip(axes, columns.items(), strict=True):
        for i, method in enumerate(frame.method.unique()):
            mean, error = _by_seed(frame[frame.method == method], column)
            axis.bar(i, mean, yerr=error, color=COLORS[i], capsize=3)
        axis.set_xticks(range(frame.method.nunique()), frame.method.unique(), rotation=25)
        axis.tick_params(axis="x", labelsize=8)
        axis.set_title(words, fontsize=9)
    return figure


def _fig10(frame: pd.DataFrame) -> Any:
    level = "C2" if "C2" in set(frame.level) else frame.level.iloc[0]
    kept = frame[(frame.level == level) & (frame.seed == frame.seed.min())]
    kept = kept[kept.samples == kept.samples.max()]
    figure, axes = _panels(len(kept) + 1, 3.5, 3.4)
    for axis, (_, row) in zip(axes, kept.iterrows(), strict=False):
        matrix = np.array(row.weights)
        _heat(axis, matrix, matrix.min(), matrix.max(), fontsize=6)
        how = "debiased, temperature .1" if row.debiased else "Eq. 20 as printed"
        axis.set_title(f"{row.distance}\n{how}", fontsize=9)
    groups = {
        lvl: {
            f"{d}{' debiased' if b else ''}": _by_seed(
                frame[(frame.level == lvl) & (frame.distance == d) & (frame.debiased == b)],
                "rank_agreement",
            )
            for d in ("wasserstein", "js")
            for b in (False, True)
        }
        for lvl in frame.level.unique()
        if lvl != "iid"
    }
    _bars(axes[-1], groups, "rank agreement with the true groups")
    axes[-1].set_ylim(0.4, 1.3)
    axes[-1].legend(fontsize=7, loc="upper left", ncols=2)
    return figure


def _fig11(frame: pd.DataFrame) -> Any:
    parts = corners_of(frame)
    figure, axes = _panels(len(parts), 6.4, 4.0)
    for axis, part in zip(axes, parts, strict=True):
        column, words = ("after_tuning", "after tuning")
        if axis is not axes[0]:
            column, words = ("after_pruning", "right after pruning")
        part = part.assign(gain=100 * (part[column] - part.received))
        groups = {
            level: {
                method: _by_seed(part[(part.level == level) & (part.method == method)], "gain")
                for method in part.method.unique()
            }
            for level in part.level.unique()
        }
        _bars(axis, groups, "points over the received model")
        for x, level in enumerate(part.level.unique()):
            rows = part[part.level == level]
            free = 100 * (rows.own_classes - rows.received).mean()
            label = "own classes, untrained" if x == 0 else None
            axis.plot([x - 0.45, x + 0.45], [free, free], color=INK, lw=1.2, ls=":", label=label)
        first = part.iloc[0]
        place = f"{first.header}, {first.samples} train samples, {first.strength:.0%} pruned"
        axis.set_title(f"{place}, {words}", fontsize=9)
    axes[0].legend(fontsize=7)
    return figure


def _fig12(frame: pd.DataFrame) -> Any:
    figure, axes = _panels(2, 4.2)
    for axis, backbone in zip(axes, ("smallest", "largest"), strict=True):
        rows = frame[frame.backbone == backbone]
        for i, blocks in enumerate(sorted(rows.blocks.unique())):
            of = rows[rows.blocks == blocks]
            repeats = sorted(of.repeats.unique())
            points = [_by_seed(of[of.repeats == u], "test_accuracy") for u in repeats]
            axis.errorbar(
                repeats,
                [p[0] for p in points],
                [p[1] for p in points],
                color=COLORS[i],
                marker="o",
                capsize=2,
                label=f"B = {blocks}",
            )
        axis.set(title=f"{backbone} backbone", xlabel="U", ylabel="test accuracy")
        axis.set_xticks(sorted(rows.repeats.unique()))
        axis.legend(fontsize=8)
    return figure


def _table1(frame: pd.DataFrame) -> Any:
    figure, axes = _panels(4, 3.4, 3.4)
    columns = (
        ("uplink_bytes", 1e6, "MB up (hatched: consented samples)"),
        ("compute_s", 1, "computing seconds"),
        ("search_space", 1, "search space"),
        ("accuracy", 1, "mean accuracy on the devices"),
    )
    for axis, (column, unit, words) in zip(axes, columns, strict=True):
        for i, system in enumerate(frame.system.unique()):
            rows = frame[frame.system == system]
            mean, error = _mean(rows[column] / unit)
            axis.bar(i, mean, yerr=error, color=COLORS[i], capsize=3)
            if column == "uplink_bytes":
                shared = float(rows.shared_bytes.mean()) / unit
                axis.bar(i, shared, bottom=mean, fill=False, hatch="//", edgecolor=COLORS[i])
        axis.set_xticks(range(frame.system.nunique()), frame.system.unique())
        axis.set_title(words, fontsize=9)
    axes[2].set_yscale("log")
    axes[3].set_ylim(_floor(frame[["accuracy"]]), None)
    return figure


def _ablation(frame: pd.DataFrame) -> Any:
    parts = (
        ("backbone", "test accuracy"),
        ("gamma_p", "plotted score"),
        ("gamma_p", "accuracy"),
        ("Eq. 20", "after pruning"),
        ("importance", "after pruning"),
        ("importance sets", "bytes up"),
    )
    figure, axes = _panels(len(parts), 3.0, 3.6)
    for axis, (part, metric) in zip(axes, parts, strict=True):
        rows = frame[(frame.part == part) & (frame.metric == metric)]
        names = list(rows.setting.unique())
        points = [_mean(rows[rows.setting == name]["value"]) for name in names]
        axis.bar(
            range(len(names)),
            [p[0] for p in points],
            yerr=[p[1] for p in points],
            color=COLORS[: len(names)],
            capsize=3,
        )
        axis.set_xticks(range(len(names)), names, rotation=25, ha="right", fontsize=8)
        axis.set_title(f"{part}: {metric}", fontsize=9)
        if metric == "bytes up":
            axis.set_yscale("log")
        else:
            axis.set_ylim(max(0.0, min(p[0] for p in points) - 0.1), None)
    return figure


def _heat(axis: Any, matrix: np.ndarray, low: float, high: float, fontsize: float = 8) -> None:
    axis.grid(False)
    axis.imshow(matrix, cmap="YlGnBu", vmin=low, vmax=high)
    for (i, j), value in np.ndenumerate(matrix):
        dark = value > low + 0.6 * (high - low)
        text = f"{value:.3f}".lstrip("0")
        color = "white" if dark else INK
        axis.text(j, i, text, ha="center", va="center", fontsize=fontsize, color=color)


def _floor(table: pd.DataFrame) -> float:
    """Where an axis of accuracies may start: a little below the lowest."""
    return max(0.0, float(np.floor(table.min().min() * 20) / 20) - 0.05)


FIGURES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "table1": _table1,
    "fig1": _fig1,
    "fig7a": _fig7a,
    "fig7b": _fig7b,
    "fig8": _fig8,
    "fig9": _fig9,
    "fig10": _fig10,
    "fig11": _fig11,
    "fig12": _fig12,
    "fig13a": _fig7a,
    "fig13b": _fig7b,
    "ablation": _ablation,
}
