"""Fig. 7b, 8, 12 and 13b: searched and fixed headers on the grid of backbones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from prefect import flow

from flows.experiments.bench import OPTIONS, Base, Bench, Row, base
from tasks.experiments.headers import cells as headers
from tasks.experiments.scale import Point
from tasks.run.step import run_step
from tasks.run.store import Ref
from tasks.settings.params import Edge, HeaderSearch


def recipe(b: Base, bench: Bench) -> Edge:
    """How headers are searched and trained at this scale."""
    return replace(b.settings.edge, **bench.scale.headers.edge)


def header_cell(b: Base, bench: Bench, point: Point, **edge: Any) -> tuple[Ref, list[Row]]:
    """A backbone and all headers trained on it, with their test accuracies; ``edge`` lies on top of
    this scale's recipe."""
    spec, data = bench.scale.headers, b.world
    cell = headers.Cell(b.cut(point), point.width, point.depth)
    search = replace(recipe(b, bench), **edge).part(HeaderSearch)
    trained = run_step(
        headers.headers_at,
        cell,
        data.cloud,
        data.info,
        headers.Recipe(search, spec.train_samples, spec.val_samples),
        b.settings.seed,
        b.machine,
    )
    scored = run_step(
        headers.headers_on_test, cell.backbone, trained, data.cloud, data.info, b.machine
    )
    return cell.backbone, scored


def grid_cell(b: Base, bench: Bench, point: Point) -> tuple[Ref, list[Row]]:
    """A cell of Fig. 8's grid, with the fixed headers that its width gets."""
    spec = bench.scale.headers
    extra = spec.full_width if point.width == max(spec.widths) else ()
    return header_cell(b, bench, point, fixed=(*spec.everywhere, *extra))


def grid_cells(b: Base, bench: Bench, widths: tuple[float, ...]) -> Iterator[tuple[Ref, list[Row]]]:
    """The cells of Fig. 8's grid at some widths."""
    for width in widths:
        for depth in bench.scale.headers.depths:
            yield grid_cell(b, bench, Point(width=width, depth=depth))


def header_rows(bench: Bench, seeds: range, widths: tuple[float, ...], **overlay: Any) -> list[Row]:
    """One row a header kind, backbone and seed."""
    rows = []
    for seed in seeds:
        b = base(bench.settings(seed, **overlay))
        for _, cell in grid_cells(b, bench, widths):
            rows += [{"seed": seed, **row} for row in headers.compared(cell)]
    return rows


@flow(name="fig7b", **OPTIONS)
def fig7b(bench: Bench) -> list[Row]:
    """Searched against every fixed header, at full width."""
    return header_rows(bench, bench.cheap(), (max(bench.scale.headers.widths),))


@flow(name="fig8", **OPTIONS)
def fig8(bench: Bench) -> list[Row]:
    """Searched, linear and CNN headers over the whole grid."""
    kept = {"searched", *bench.scale.headers.everywhere, "linear"}
    rows = header_rows(bench, bench.cheap(), bench.scale.headers.widths)
    return [row for row in rows if row["header"] in kept]


@flow(name="fig12", **OPTIONS)
def fig12(bench: Bench) -> list[Row]:
    """Blocks times repeats on the smallest and the largest backbone."""
    spec, rows = bench.scale.headers, []
    ends = {
        "smallest": Point(width=min(spec.widths), depth=min(spec.depths)),
        "largest": Point(width=max(spec.widths), depth=max(spec.depths)),
    }
    sizes = [(blocks, repeats) for blocks in spec.blocks for repeats in spec.repeats]
    for seed in bench.costly():
        b = base(bench.settings(seed))
        for name, point in ends.items():
            for blocks, repeats in sizes:
                size = {"blocks": blocks, "repeats": repeats}
                _, cell = header_cell(b, bench, point, fixed=(), **size)
                found = headers.compared(cell)[0]
                rows.append({"seed": seed, "backbone": name, **size, **found})
    return rows


@flow(name="fig13b", **OPTIONS)
def fig13b(bench: Bench) -> list[Row]:
    """Fig. 7b on a second data set."""
    return header_rows(bench, bench.costly(), (max(bench.scale.headers.widths),), **bench.second())
