"""Fig. 1 and Fig. 9: the grid of variants, and what is chosen of it."""

from __future__ import annotations

from prefect import flow

from flows.experiments.bench import OPTIONS, Base, Bench, Row, base
from tasks.experiments import grid
from tasks.settings import Matching


@flow(name="fig1", **OPTIONS)
def fig1(bench: Bench) -> list[Row]:
    """Accuracy and modelled energy against depth; the spread among variants of one size."""
    rows = []
    for seed in bench.cheap():
        b = base(bench.settings(seed))
        middle = b.settings.fleet[len(b.settings.fleet) // 2]
        energy = grid.energies(
            b.variants, middle, b.settings.matching.energy, grid.patches_of(b.elastic)
        )
        found = grid.grid_rows(b.variants, b.grid_on_test(), energy)
        rows += [{"seed": seed, **row} for row in found]
    return rows


@flow(name="fig9", **OPTIONS)
def fig9(bench: Bench) -> list[Row]:
    """ACME's choice against three simple rules, for every cluster."""
    rows = []
    for seed in bench.cheap():
        b = base(bench.settings(seed))
        rows += [{"seed": seed, **row} for row in matched(b, b.settings.matching)]
    return rows


def matched(b: Base, rules: Matching) -> list[Row]:
    """What every rule gives every cluster of one seed."""
    test, data = b.grid_on_test(), b.world
    seconds = grid.scoring_seconds(
        b.elastic, data.cloud, data.info, b.settings.backbone, b.machine, b.code
    )
    rows = []
    for cluster in b.settings.fleet:
        energy = grid.energies(b.variants, cluster, rules.energy, grid.patches_of(b.elastic))
        limit = cluster.storage_limit - rules.header_budget
        rows += grid.matching_rows(b.variants, test, energy, limit, rules, cluster.edge, seconds)
    return rows
