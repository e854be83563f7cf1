"""By what a device should choose the neurons that it discards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from prefect import flow

from flows.experiments.bench import OPTIONS, Bench, Row, base, partition
from flows.experiments.exchange import Place, draws_of, exchanged, placed
from models.refinement.rankings import RANKINGS
from models.refinement.recipe import Pruning
from tasks.device.rounds import Turn
from tasks.experiments.exchange import cells
from tasks.experiments.exchange.cells import Draw
from tasks.experiments.pruning.cells import Way, discarded
from tasks.run.step import run_step

FRACTIONS = (0.1, 0.3, 0.5)
"""Of a header's neurons."""


@flow(name="prune", **OPTIONS)
def prune(bench: Bench) -> list[Row]:
    """A row a seed, part, ranking and device: what the header after the default exchange's rounds
    loses without so many neurons. Behind sensors, all classes seen, the second number of
    samples."""
    settings, spec = bench.exchanging("contexts"), bench.scale.draws("contexts")
    b, pools = base(settings), partition(bench.exchanging("contexts", partition=spec.pool))
    places = [placed(b, pools, cluster) for cluster in settings.fleet]
    few = spec.samples[:2][-1]
    draws = draws_of(spec, bench.cheap(), settings.partition)
    chosen = [draw for draw in draws if (draw.samples, draw.unseen) == (few, 0)]
    return [row for draw in chosen for place in places for row in compared(place, draw)]


def compared(place: Place, draw: Draw) -> Iterator[Row]:
    """All rankings and parts on the same headers."""
    b, circle = place.base, place.circle
    recipe = replace(b.settings.refinement, quorum=1.0)
    start = run_step(cells.started, circle, draw, recipe.answers, b.world.info, b.machine)
    carrier, _ = exchanged(place, draw, start, recipe)
    owns = [carrier.owns[member.name] for member in circle.members]
    turn = Turn(circle.edge, recipe.rounds + 1, recipe.exchange, draw.seed)
    for fraction in FRACTIONS:
        amount = replace(recipe.part(Pruning), prune_fraction=fraction)
        for name in RANKINGS:
            way = Way(name, amount, carrier.work.tune)
            found = run_step(discarded, circle, owns, turn, way, b.machine)
            for device, row in found.items():
                yield {
                    "seed": draw.seed,
                    "fraction": fraction,
                    "prune_by": name,
                    "device": device,
                    **row,
                }
