"""What we changed against the letter of the paper, each change taken back alone."""

from __future__ import annotations

from dataclasses import replace

from prefect import flow

from flows.experiments.bench import OPTIONS, Base, Bench, Row, base
from flows.experiments.grid import matched
from flows.experiments.refining import at, loop, refined, start_header, started
from tasks.data.modality import of_images
from tasks.experiments.refining import cells as refining
from tasks.experiments.refining.cells import LITERAL


@flow(name="ablation", **OPTIONS)
def ablation(bench: Bench) -> list[Row]:
    """Rows: a seed, the part that is changed, its setting, a metric and its value."""
    rows: list[Row] = []
    for seed in bench.costly():
        b = base(bench.settings(seed))
        found = [*backbones(b, bench), *windows(b, bench), *mixing(b, bench), *sets(b, bench)]
        rows += [{"seed": seed, **row} for row in found]
    return rows


def row(part: str, setting: str, metric: str, value: float) -> Row:
    return {"part": part, "setting": setting, "metric": metric, "value": value}


def backbones(b: Base, bench: Bench) -> list[Row]:
    """Mean test accuracy over the grid, below full size: how layers are dropped, and what the
    distillation is worth."""
    changed = {
        "ours": {},
        "layers spread evenly": {"depth_strategy": "even"},
        "no distillation": {"distillation": {"width_steps": 0, "depth_steps": 0}},
        "Eq. 9 without labels": {"distillation": {"label_weight": 0.0}},
    }
    rows = []
    for setting, overlay in changed.items():
        other = base(bench.settings(b.settings.seed, backbone=overlay))
        full = max(b.settings.backbone.widths), max(b.settings.backbone.depths)
        smaller = [
            accuracy
            for v, accuracy in zip(other.variants, other.grid_on_test(), strict=True)
            if (v.width, v.depth) != full
        ]
        rows.append(row("backbone", setting, "test accuracy", sum(smaller) / len(smaller)))
    return rows


def windows(b: Base, bench: Bench) -> list[Row]:
    """The performance window gamma_p of Eq. 13: what ACME's choice scores."""
    rows = []
    for window in bench.scale.windows:
        rules = replace(b.settings.matching, performance_window=window)
        ours = [r for r in matched(b, rules) if r["method"] == "ACME"]
        for metric, column in (("plotted score", "plotted_score"), ("accuracy", "test_accuracy")):
            mean = sum(r[column] for r in ours) / len(ours)
            rows.append(row("gamma_p", f"{window:g}", metric, mean))
    return rows


def mixing(b: Base, bench: Bench) -> list[Row]:
    """Eq. 20 as printed against ours, and the importance of a neuron as the square of a sum
    against the sum of squares: means over all levels, where data are scarce and pruning is hard."""
    spec, recipe = bench.scale.refining, loop(b, bench)
    corner = min(spec.corners, key=lambda c: c.samples)
    starts = [started(b, bench, at(corner, level)) for level in spec.levels]
    compared = [
        ("importance", "group", replace(recipe, joint="group"), "wasserstein"),
        ("importance", "sum", replace(recipe, joint="sum"), "wasserstein"),
        ("Eq. 20", "ours", replace(recipe, joint="group"), "wasserstein"),
        ("Eq. 20", "as printed", replace(recipe, joint="group"), LITERAL),
    ]
    rows = []
    for part, setting, changed, method in compared:
        found = [refined(b, start, changed, method) for start in starts]
        for metric in ("after_pruning", "after_tuning"):
            mean = sum(r[metric] for r in found) / len(found)
            rows.append(row(part, setting, metric.replace("_", " "), mean))
    return rows


def sets(b: Base, bench: Bench) -> list[Row]:
    """Bytes up of a device in all rounds: an importance a neuron, or a parameter; and raw data."""
    rounds = loop(b, bench).rounds
    sizes = refining.set_bytes(start_header(b, bench), rounds)
    spec, data = b.settings.partition, of_images(b.world.info)
    share = spec.train_fraction + spec.val_fraction
    pixels = data.image_size**2 * data.channels
    sizes["raw data"] = int(spec.samples_per_device * share) * (pixels + 1)
    return [row("importance sets", level, "bytes up", float(n)) for level, n in sizes.items()]
