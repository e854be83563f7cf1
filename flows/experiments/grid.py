"""Fig. 1 and Fig. 9: the grid of variants, and what is chosen of it."""

from __future__ import annotations

from prefect import flow

from flows.experiments.bench import OPTIONS, Base, Bench, Row, base
from tasks.experiments.grid import cells as grid
from tasks.run.step import run_step
from tasks.settings.params import Cluster, Grid, Matching


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
        found = [*matched(b, b.settings.matching), *at_authors_limit(b)]
        rows += [{"seed": seed, **row} for row in found]
    return rows


def matched(b: Base, rules: Matching) -> list[Row]:
    """What every rule gives every cluster of one seed."""
    rows = []
    for cluster in b.settings.fleet:
        limit = cluster.storage_limit - rules.header_budget
        rows += grid.matching_rows(scored(b, rules, cluster), rules, limit, cluster.edge)
    return rows


def at_authors_limit(b: Base) -> list[Row]:
    """What every rule gives under the limit of the authors' script, for the middle cluster."""
    rules, middle = b.settings.matching, b.settings.fleet[len(b.settings.fleet) // 2]
    limit = grid.authors_limit(b.variants)
    return grid.matching_rows(scored(b, rules, middle), rules, limit, grid.AUTHORS_LIMIT)


def scored(b: Base, rules: Matching, cluster: Cluster) -> grid.Scored:
    """The grid on test data, and what a rule's choice costs a cluster."""
    test, data = b.grid_on_test(), b.world
    seconds = run_step(
        grid.scoring_seconds,
        b.elastic,
        data.cloud,
        data.info,
        b.settings.backbone.part(Grid),
        b.machine,
    )
    energy = grid.energies(b.variants, cluster, rules.energy, grid.patches_of(b.elastic))
    return grid.Scored(b.variants, test, energy, seconds)
