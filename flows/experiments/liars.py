"""What one device that lies costs the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from prefect import flow

from flows.experiments.bench import OPTIONS, Bench, Row, base, partition
from flows.experiments.exchange import Place, draws_of, exchanged, placed
from flows.job import Job
from flows.on_device import LocalCarrier
from models.refinement.exchanges import EXCHANGES
from tasks.device.own import Own
from tasks.experiments.exchange import cells
from tasks.experiments.exchange.cells import Draw
from tasks.experiments.liars.cells import COPIED, LIES, lied
from tasks.links.asking import Ask, Reply
from tasks.run.step import run_step

SIZES = (4, 5)
"""Devices of one edge that take part: the first ones, of which the very first lies."""


@flow(name="liars", **OPTIONS)
def liars(bench: Bench) -> list[Row]:
    """A row a seed, size, exchange, lie and honest device: the accuracy of what it ships, and what
    that would be were all honest. Behind sensors, all classes seen, the second number of
    samples."""
    settings, spec = bench.exchanging("contexts"), bench.scale.draws("contexts")
    b, pools = base(settings), partition(bench.exchanging("contexts", partition=spec.pool))
    place, few = placed(b, pools, settings.fleet[0]), spec.samples[:2][-1]
    draws = draws_of(spec, bench.costly(), settings.partition)
    return [
        row
        for draw in draws
        if (draw.samples, draw.unseen) == (few, 0)
        for size in SIZES
        for row in compared(among(place, size), draw)
    ]


def among(place: Place, size: int) -> Place:
    """A place with its first devices alone."""
    members = place.circle.members[:size]
    return replace(place, circle=replace(place.circle, members=members))


class Lying(LocalCarrier):
    """Devices of which one says something else than it should: what its peers say is not held
    against what it says, but may be copied."""

    def __init__(self, job: Job, owns: Sequence[Own], liar: str, lie: str) -> None:
        super().__init__(job, owns)
        self.liar, self.lie = liar, lie

    def ask(self, asks: Sequence[Ask], deadline_s: float | None) -> list[Reply]:
        """See :class:`LocalCarrier`."""
        replies = super().ask(asks, deadline_s)
        others = [m for reply in replies if not isinstance(reply, str) for m in reply]
        others = [m for m in others if m.sender != self.liar]
        return [
            reply
            if isinstance(reply, str) or ask.device != self.liar
            else tuple(lied(message, others, self.lie) for message in reply)
            for ask, reply in zip(asks, replies, strict=True)
        ]


def compared(place: Place, draw: Draw) -> Iterator[Row]:
    """All exchanges and lies on the same draw."""
    b, circle = place.base, place.circle
    recipe = b.settings.refinement
    start = run_step(cells.started, circle, draw, recipe.answers, b.world.info, b.machine)
    liar = circle.members[0].name
    for exchange in (name for name, how in EXCHANGES.items() if how.up):
        by = replace(recipe, exchange=exchange, quorum=0.5)  # what a liar says may be refused
        honest, _ = exchanged(place, draw, start, by)
        before = run_step(cells.judged, circle, start, honest.owns, b.machine)
        for lie in (*LIES, COPIED):
            told = replace(place, carries=partial(Lying, liar=liar, lie=lie))
            lying, _ = exchanged(told, draw, start, by)
            after = run_step(cells.judged, circle, start, lying.owns, b.machine)
            for member in circle.members[1:]:
                yield {
                    "seed": draw.seed,
                    "size": len(circle.members),
                    "exchange": exchange,
                    "lie": lie,
                    "device": member.name,
                    "accuracy_honest": before[member.name]["accuracy"],
                    "accuracy": after[member.name]["accuracy"],
                }
