"""Fig. 7a and 13a: ACME's best within a size against lightweight models from scratch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from prefect import flow

from flows.experiments.bench import OPTIONS, Base, Bench, Row, base
from flows.experiments.headers import grid_cell, grid_cells, recipe
from tasks.experiments.lightweight import cells as lightweight
from tasks.experiments.scale import Point
from tasks.run.step import run_step
from tasks.run.store import Ref


@flow(name="fig7a", **OPTIONS)
def fig7a(bench: Bench) -> list[Row]:
    """ACME against lightweight models of its size."""
    return lightweight_rows(bench)


@flow(name="fig13a", **OPTIONS)
def fig13a(bench: Bench) -> list[Row]:
    """The same on a second data set."""
    return lightweight_rows(bench, **bench.second())


def lightweight_rows(bench: Bench, **overlay: Any) -> list[Row]:
    """ACME's best within the limit, and every baseline."""
    rows = []
    for seed in bench.costly():
        b = base(bench.settings(seed, **overlay))
        found = [*ours(b, bench), *longer(b, bench), large(b), *theirs(b, bench)]
        rows += [{"seed": seed, **row} for row in found]
    return rows


def ours(b: Base, bench: Bench) -> list[Row]:
    """ACME's row; none where no variant with its header is within the limit."""
    cells = list(grid_cells(b, bench, bench.scale.headers.widths))
    return best_within(b, bench, cells, lightweight.ACME)


def longer(b: Base, bench: Bench) -> list[Row]:
    """The control: ACME from a large model that was trained longer before, as pre-trained ones
    are. The variant is chosen by the grid's scores, then one header is searched."""
    times, limit = bench.scale.lightweight.longer, bench.scale.lightweight.parameters
    if not times:
        return []
    spec = b.settings.backbone
    training = replace(spec.training, epochs=times * spec.training.epochs)
    changed = {"backbone": replace(spec, training=training)}
    other = base(b.settings.model_copy(update=changed))
    room = limit - b.settings.matching.header_budget
    best = max((v for v in other.variants if v.parameters <= room), key=lambda v: v.val_accuracy)
    cell = grid_cell(other, bench, Point(width=best.width, depth=best.depth))
    return best_within(other, bench, [cell], lightweight.LONGER)


def large(b: Base) -> Row:
    """The model that everything is cut from, with its reference header."""
    sizes = [v.parameters for v in b.variants]
    at = sizes.index(max(sizes))
    accuracy = {"val_accuracy": b.variants[at].val_accuracy, "test_accuracy": b.grid_on_test()[at]}
    return {"model": lightweight.LARGE, "parameters": sizes[at], **accuracy}


def best_within(b: Base, bench: Bench, cells: list[tuple[Ref, list[Row]]], name: str) -> list[Row]:
    """The best of ``cells`` within the limit, on public test data and on the devices."""
    best = lightweight.acme_row(cells, bench.scale.lightweight.parameters)
    if best is None:
        return []
    backbone, row = best
    on_devices = run_step(
        lightweight.acme_on_devices,
        row["state"],
        b.embed(backbone, b.world),
        b.settings.refinement,
        b.settings.seed,
        b.machine,
    )
    shape = {k: row[k] for k in ("width", "depth", "val_accuracy", "test_accuracy")}
    size = {"model": name, "parameters": row["total_parameters"]}
    return [{**size, **shape, **on_devices}]


def theirs(b: Base, bench: Bench) -> list[Row]:
    """A row a baseline."""
    spec, backbone = bench.scale.lightweight, b.settings.backbone
    training = replace(backbone.training, flip=b.settings.flip)
    steps = lightweight.equal_steps(backbone, recipe(b, bench), b.settings.partition.public_train)
    return [
        run_step(
            lightweight.baseline,
            lightweight.Family(
                name, spec.parameters, backbone.reference.patch_size, spec.pretrained
            ),
            b.world,
            lightweight.Recipe(steps, spec.lr, training),
            b.settings.refinement,
            b.settings.seed,
            b.machine,
        )
        for name in spec.families
    ]
