"""Fig. 10 and Fig. 11: one cluster whose groups of alike devices are known."""

from __future__ import annotations

from dataclasses import replace

from prefect import flow

from flows.experiments.bench import OPTIONS, Base, Bench, Row, base, partition
from flows.experiments.headers import grid_cell
from flows.experiments.headers import recipe as edge_recipe
from models.header.config import SEARCHED
from tasks.experiments.headers import cells as headers
from tasks.experiments.refining import cells as refining
from tasks.experiments.refining.cells import Place
from tasks.experiments.scale import Corner
from tasks.run.store import Ref
from tasks.settings.params import HeaderSearch, Refinement


def cluster(b: Base, bench: Bench, level: str) -> refining.Cluster:
    """The devices' data, divided at one level; their features."""
    spec = bench.scale.refining
    devices = [
        {"id": i, "group": group, "storage_limit": 10**9}
        | {"gpu_capacity_watt": 1, "base_latency_s": 1}
        for i, group in enumerate(spec.groups)
    ]
    fleet = [{"edge": "cluster", "devices": devices}]
    division = {**spec.partition, "heterogeneity": level}
    divided = partition(bench.settings(b.settings.seed, partition=division, fleet=fleet))
    backbone = b.cut(spec.variant)
    scale = refining.feature_scale(backbone, b.world.cloud, b.world.info, 1000, b.machine)
    return refining.Cluster(b.embed(backbone, divided), scale)


@flow(name="fig10", **OPTIONS)
def fig10(bench: Bench) -> list[Row]:
    """How well two distances recover which devices are alike."""
    spec, rows = bench.scale.refining, []
    for seed in bench.cheap():
        b = base(bench.settings(seed))
        for level in spec.levels:
            c = cluster(b, bench, level)
            for samples in spec.sketches:
                found = refining.similarity_rows(c, list(spec.groups), level, samples)
                rows += [{"seed": seed, **row} for row in found]
    return rows


@flow(name="fig11", **OPTIONS)
def fig11(bench: Bench) -> list[Row]:
    """What each way of mixing importance sets is worth."""
    spec, rows = bench.scale.refining, []
    for seed in bench.cheap():
        b = base(bench.settings(seed))
        for level in spec.levels:
            for corner in spec.corners:
                rows += refined(b, bench, at(corner, level), loop(b, bench))
    return rows


def loop(b: Base, bench: Bench) -> Refinement:
    """Alg. 2's settings at this scale."""
    return replace(b.settings.refinement, **bench.scale.refining.loop)


def refined(b: Base, bench: Bench, place: Place, recipe: Refinement) -> list[Row]:
    """All methods in one place, a row each."""
    c, seed = cluster(b, bench, place.level), b.settings.seed
    header = refining.header_on_shared(
        start_header(b, bench, place.header),
        c.features,
        int(b.settings.partition.shared_fraction * place.samples),
        edge_recipe(b, bench).part(HeaderSearch),
        seed,
        b.machine,
    )
    rows = refining.refined_rows(c, header, recipe, place, seed, b.machine)
    return [{"seed": seed, **row} for row in rows]


def at(corner: Corner, level: str) -> Place:
    """A corner of the scale at one level."""
    return Place(corner.header, level, corner.samples, corner.strength)


def start_header(b: Base, bench: Bench, kind: str = SEARCHED) -> Ref:
    """The header of Fig. 8 whose architecture the devices of the cluster receive."""
    _, cell = grid_cell(b, bench, bench.scale.refining.variant)
    of_kind = [row for row in cell if row["header"] == kind]
    best: Row = headers.best_searched(cell) if kind == SEARCHED else of_kind[0]
    ref: Ref = best["state"]
    return ref
