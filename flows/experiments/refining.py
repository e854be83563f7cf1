"""Fig. 10 and Fig. 11: one cluster whose groups of alike devices are known."""

from __future__ import annotations

from dataclasses import dataclass, replace

from prefect import flow

from flows.experiments.bench import OPTIONS, Base, Bench, Row, base, partition
from flows.experiments.headers import grid_cell
from flows.experiments.headers import recipe as edge_recipe
from models.header.build import SEARCHED
from tasks.experiments.headers import cells as headers
from tasks.experiments.refining import cells as refining
from tasks.experiments.scale import Corner
from tasks.run.files import Ref
from tasks.settings.params import HeaderSearch, Refinement


@dataclass(frozen=True)
class Cluster:
    """The cluster at one level of heterogeneity: its devices' features under one backbone."""

    backbone: Ref
    features: list[Ref]
    scale: Ref


def cluster(b: Base, bench: Bench, level: str) -> Cluster:
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
    backbone = b.cut(spec.variant.width, spec.variant.depth)
    scale = refining.feature_scale(backbone, b.world.cloud, b.world.info, 1000, b.machine)
    return Cluster(backbone, b.embed(backbone, divided), scale)


@flow(name="fig10", **OPTIONS)
def fig10(bench: Bench) -> list[Row]:
    """How well two distances recover which devices are alike."""
    spec, rows = bench.scale.refining, []
    for seed in bench.cheap():
        b = base(bench.settings(seed))
        for level in spec.levels:
            c = cluster(b, bench, level)
            for samples in spec.sketches:
                found = refining.similarity_rows(
                    c.features, c.scale, list(spec.groups), level, samples
                )
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
                rows += refined(b, bench, level, corner, loop(b, bench))
    return rows


def loop(b: Base, bench: Bench) -> Refinement:
    """Alg. 2's settings at this scale."""
    return replace(b.settings.refinement, **bench.scale.refining.loop)


def refined(b: Base, bench: Bench, level: str, corner: Corner, recipe: Refinement) -> list[Row]:
    """All methods in one place, a row each."""
    c, seed = cluster(b, bench, level), b.settings.seed
    share = b.settings.partition.shared_fraction
    header = refining.header_on_shared(
        start_header(b, bench, corner.header),
        c.features,
        corner.samples,
        share,
        edge_recipe(b, bench).part(HeaderSearch),
        seed,
        b.machine,
    )
    rows = refining.refined_rows(
        c.features,
        c.scale,
        header,
        recipe,
        level,
        corner.samples,
        corner.strength,
        seed,
        b.machine,
    )
    return [{"seed": seed, "header": corner.header, **row} for row in rows]


def start_header(b: Base, bench: Bench, kind: str = SEARCHED) -> Ref:
    """The header of Fig. 8 whose architecture the devices of the cluster receive."""
    point = bench.scale.refining.variant
    _, cell = grid_cell(b, bench, point.width, point.depth)
    of_kind = [row for row in cell if row["header"] == kind]
    best: Row = headers.best_searched(cell) if kind == SEARCHED else of_kind[0]
    ref: Ref = best["state"]
    return ref
