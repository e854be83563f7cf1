"""Fig. 10 and Fig. 11: one cluster whose groups of alike devices are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from prefect import flow

from flows.customize import Circle, refine
from flows.experiments.bench import OPTIONS, Base, Bench, Row, base, partition
from flows.experiments.headers import grid_cell
from flows.experiments.headers import recipe as edge_recipe
from flows.on_device import LocalCarrier
from models.header.config import SEARCHED
from tasks.device.own import Answer
from tasks.experiments.headers import cells as headers
from tasks.experiments.refining import cells as refining
from tasks.experiments.refining.cells import EDGE, RANDOM, WAYS, Place
from tasks.experiments.scale import Corner
from tasks.links.asking import Answers, Ask, Link, Reply
from tasks.links.records import State
from tasks.run.step import run_step
from tasks.run.store import Ref
from tasks.settings.params import HeaderSearch, Likeness, Refinement


def cluster(b: Base, bench: Bench, level: str) -> refining.Cluster:
    """The devices' data, divided at one level; their features."""
    spec = bench.scale.refining
    devices = [
        {"id": i, "group": group, "storage_limit": 10**9}
        | {"gpu_capacity_watt": 1, "base_latency_s": 1}
        for i, group in enumerate(spec.groups)
    ]
    fleet = [{"edge": EDGE, "devices": devices}]
    division = {**spec.partition, "heterogeneity": level}
    divided = partition(bench.settings(b.settings.seed, partition=division, fleet=fleet))
    backbone = b.cut(spec.variant)
    scale = run_step(refining.feature_scale, backbone, b.world.cloud, b.world.info, 1000, b.machine)
    return refining.Cluster(tuple(divided.devices), b.embed(backbone, divided), scale)


@flow(name="fig10", **OPTIONS)
def fig10(bench: Bench) -> list[Row]:
    """How well two distances recover which devices are alike."""
    spec, rows = bench.scale.refining, []
    for seed in bench.cheap():
        b = base(bench.settings(seed))
        for level in spec.levels:
            c = cluster(b, bench, level)
            for samples in spec.sketches:
                found = run_step(refining.similarity_rows, c, list(spec.groups), level, samples)
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
                start = started(b, bench, at(corner, level))
                rows += [refined(b, start, loop(b, bench), method) for method in WAYS]
    return rows


def loop(b: Base, bench: Bench) -> Refinement:
    """Alg. 2's settings at this scale."""
    return replace(b.settings.refinement, **bench.scale.refining.loop)


@dataclass(frozen=True)
class Start:
    """A cluster in one place, and what its devices answered to what they received."""

    place: Place
    cluster: refining.Cluster
    adopted: list[Answer]


def started(b: Base, bench: Bench, place: Place) -> Start:
    """The same for all methods."""
    c = cluster(b, bench, place.level)
    header = run_step(
        refining.header_on_shared,
        start_header(b, bench, place.header),
        c.features,
        int(b.settings.partition.shared_fraction * place.samples),
        edge_recipe(b, bench).part(HeaderSearch),
        b.settings.seed,
        b.machine,
    )
    return Start(place, c, run_step(refining.received, c, header, place.samples, b.machine))


def refined(b: Base, start: Start, recipe: Refinement, method: str) -> Row:
    """Alg. 2 as it is shipped, by one method; means over the devices."""
    after = rounds(start, carrier_of(b, start, recipe, method))
    before = [answer.own for answer in start.adopted]
    found = run_step(refining.judged, start.cluster, before, after, b.machine)
    return {"seed": b.settings.seed, **asdict(start.place), "method": method, **found}


def carrier_of(b: Base, start: Start, recipe: Refinement, method: str) -> LocalCarrier:
    """The devices, set to a method. One that fails ends the experiment: methods are compared on the
    same devices."""
    fraction = start.place.strength / recipe.rounds
    way = {"prune_fraction": fraction, "quorum": 1.0, "deadline_s": None, **WAYS[method]}
    settings = b.settings.model_copy(update={"refinement": replace(recipe, **way)})
    owns = [answer.own for answer in start.adopted]
    return CARRIERS.get(method, LocalCarrier)(replace(b.job, settings=settings), owns)


def rounds(start: Start, carrier: LocalCarrier) -> list[State]:
    """All T rounds, so that every method has pruned the same; what each device has after them."""
    recipe, c = carrier.job.settings.refinement, start.cluster
    sketches = min(recipe.sketch_samples, start.place.samples)
    mixing = run_step(refining.mixing, c, sketches, recipe.part(Likeness))
    adopted = {answer.own.device: answer.messages for answer in start.adopted}
    model, _, _ = start.adopted[0].own.adopted
    circle = Circle(c.devices, mixing, model, Answers.read(adopted), all_rounds=True)
    refine(recipe, Link(EDGE, carrier), circle)
    return [states[-1] for states in carrier.rounds.values()]


class AtRandom(LocalCarrier):
    """Devices that prune at random: on the way to them, what comes back is exchanged for numbers
    that a device's seed of the round draws."""

    def ask(self, asks: Sequence[Ask], deadline_s: float | None) -> list[Reply]:
        """See :class:`LocalCarrier`."""
        return super().ask([self._drawn(ask) for ask in asks], deadline_s)

    def _drawn(self, ask: Ask) -> Ask:
        if ask.kind != "prune" or ask.body is None:
            return ask
        seed = self.turn(ask).seed_of(self.owns[ask.device])
        return replace(ask, body=refining.at_random(ask.body, seed))


CARRIERS = {RANDOM: AtRandom}
"""Of the methods that need their own."""


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
