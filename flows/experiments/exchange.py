"""What devices tell each other, by how many samples they have: behind sensors, and in languages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from prefect import flow

from flows import customize
from flows.backbone import cluster_backbone
from flows.experiments.bench import OPTIONS, Base, Bench, Row, base, partition
from flows.job import Job
from flows.on_device import LocalCarrier
from models.refinement.exchanges import EXCHANGES
from models.refinement.training import LocalSteps
from tasks.data.plan import DevicePlan
from tasks.data.samples import World
from tasks.device.own import Own
from tasks.edge import header
from tasks.edge.mixing import compare
from tasks.experiments.exchange import cells
from tasks.experiments.exchange.cells import Bounds, Circle, Draw, Member, Started
from tasks.experiments.scale import Draws
from tasks.experiments.world import embed
from tasks.links.asking import Answers, Key, Link
from tasks.run.step import run_step
from tasks.settings.fleet import Cluster
from tasks.settings.params import Likeness, LocalTraining, Partition, Refinement


@flow(name="contexts", **OPTIONS)
def contexts(bench: Bench) -> list[Row]:
    """Twelve devices behind four sensors: two of them on each edge, three devices each."""
    return drawn_rows(bench, "contexts")


@flow(name="languages", **OPTIONS)
def languages(bench: Bench) -> list[Row]:
    """Twelve assistants in four languages: of each, two on one edge and one on another."""
    return drawn_rows(bench, "languages")


@dataclass(frozen=True)
class Place:
    """An edge with its devices, what each of them could gain, its job, and what carries the edge's
    questions."""

    base: Base
    circle: Circle
    bounds: list[Bounds]
    carries: Callable[[Job, list[Own]], LocalCarrier] = LocalCarrier


def drawn_rows(bench: Bench, name: str) -> list[Row]:
    """A row a draw, exchange and device. The cloud's and the edges' stages run once, on seed 0."""
    settings, spec = bench.exchanging(name), bench.scale.draws(name)
    b = base(settings)
    pools = partition(bench.exchanging(name, partition=spec.pool))
    places = [placed(b, pools, cluster) for cluster in settings.fleet]
    draws = draws_of(spec, bench.cheap(), settings.partition)
    return [row for draw in draws for place in places for row in compared(place, draw)]


def draws_of(spec: Draws, seeds: Iterable[int], partition: Partition) -> list[Draw]:
    """All draws, seed by seed; to a train sample as many validation samples as in a partition."""
    share = partition.val_fraction / partition.train_fraction
    return [
        Draw(seed, samples, max(spec.val_samples, round(samples * share)), unseen)
        for seed in seeds
        for samples in spec.samples
        for unseen in spec.unseen
    ]


def placed(b: Base, pools: World, cluster: Cluster) -> Place:
    """An edge after its search, and what its devices' draws are taken from."""
    fitted = cluster_backbone(b.job, cluster, b.elastic, b.variants)
    carrier = LocalCarrier(b.job, customize.owned(b.job, cluster))
    link = Link(cluster.edge, carrier, header.fits(b.world.info))
    found = customize.search_at_edge(b.job, cluster, fitted.backbone, link)
    recipe, names = b.settings.refinement, [*dict.fromkeys(pools.contexts.values())]
    coarse = found.coarse
    basis = run_step(header.find_basis, coarse, found.public, recipe.rank)
    devices, members = sorted(cluster.devices, key=lambda d: d.id), []
    who = tuple(device.name for device in devices)
    sent = run_step(header.send_model, coarse, who, found.shared, found.public, basis)
    for device, model in zip(devices, sent, strict=True):
        context = names.index(pools.contexts[device.name])
        samples = pools.samples[device.name]
        features = (device.name, coarse.backbone, samples, pools.info, b.machine, coarse.header)
        members.append(
            Member(
                DevicePlan(device.id, device.name, cluster.edge, device.group, context),
                pools.contexts[device.name],
                model,
                samples,
                run_step(embed, *features),
            )
        )
    circle = Circle(coarse, tuple(members))
    training = recipe.part(LocalTraining)
    steps = LocalSteps(recipe.ceiling_steps, training, recipe.joint, recipe.answers)
    limits = run_step(cells.bounds, circle, steps, b.settings.seed, b.machine)
    return Place(b, circle, limits)


def compared(place: Place, draw: Draw) -> Iterator[Row]:
    """What every exchange makes of the same draw: a row an exchange and device."""
    b, circle = place.base, place.circle
    recipe = b.settings.refinement
    step = (circle, draw, recipe.answers, b.world.info, b.machine)
    start = run_step(cells.started, *step)
    for exchange in EXCHANGES:
        by = replace(recipe, exchange=exchange, quorum=1.0)
        carrier, link = exchanged(place, draw, start, by)
        found = run_step(cells.judged, circle, start, carrier.owns, b.machine)
        for member, began, limits in zip(circle.members, start, place.bounds, strict=True):
            yield {
                "seed": draw.seed,
                "samples": draw.samples,
                "unseen": draw.unseen,
                "exchange": exchange,
                "default": exchange == recipe.exchange,
                "edge": circle.edge,
                "device": member.name,
                "context": member.context,
                "peers": circle.peers(member),
                **asdict(limits),
                **found[member.name],
                "raw_bytes": began.raw_bytes,
                **cells.sent_up(member.name, link.sent),
            }


def exchanged(
    place: Place,
    draw: Draw,
    start: Sequence[Started],
    recipe: Refinement,
) -> tuple[LocalCarrier, Link]:
    """The loop as it is shipped, from a draw on: what its devices have, and what went over the
    link. (At a quorum of 1 a device that fails ends the experiment.)"""
    recipe = replace(recipe, deadline_s=None)
    settings = place.base.settings.model_copy(update={"seed": draw.seed, "refinement": recipe})
    carrier = place.carries(replace(place.base.job, settings=settings), [s.own for s in start])
    link, model = Link(place.circle.edge, carrier), start[0].own.adopted[0]
    devices, key = [began.own.device for began in start], Key(model.sha256)
    sketches = customize.sketched(recipe, link, devices, key)
    likeness = recipe.part(Likeness)
    mixing = run_step(compare, link.edge, devices, sketches, likeness)
    adopted = Answers.read({began.own.device: began.said for began in start})
    customize.refine(recipe, link, customize.Circle(devices, mixing, model, adopted))
    return carrier, link
