"""The default run, over several seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prefect import flow

from flows.backbone import (
    cluster_backbone,
    elastic_of,
    given_reference,
    plain_cnn,
    scored_grid,
    trained_reference,
)
from flows.ceiling import ceilings
from flows.customize import customize_cluster
from flows.experiments.bench import OPTIONS, Base, Bench, Row, job_of
from models.refinement.recovery import recovery
from tasks.experiments.central import cells as central
from tasks.experiments.fleet.cells import costs
from tasks.links.records import Mixing
from tasks.report.reference import score_cnn, score_reference
from tasks.run.step import run_step
from tasks.run.store import Ref
from tasks.settings.fleet import Cluster
from tasks.settings.params import Settings


@flow(name="fleet", **OPTIONS)
def fleet(bench: Bench) -> list[Row]:
    """A row a seed and device: its context, accuracies on its own test split, and the bytes it
    sent; and of its seed, accuracies on public test data and how well contexts were recovered."""
    return [row for seed in bench.cheap() for row in of_seed(bench.run(seed))]


def of_seed(settings: Settings) -> list[Row]:
    """The devices' rows of one seed."""
    grown = grow(settings)
    b, contexts = grown.base, grown.base.world.contexts
    found = [of_cluster(b, cluster) for cluster in settings.fleet]
    recovered = recovery(
        (mixing.weights, [contexts[name] for name in mixing.devices]) for mixing, _ in found
    )
    known = beside(grown) | {
        "recovered": recovered and recovered.share,
        "recovered_by_chance": recovered and recovered.chance,
    }
    devices = {name: {"context": context} for name, context in contexts.items()}
    for one in known.pop("devices"):
        devices = {name: devices[name] | one[name] for name in devices}
    return [
        {"seed": settings.seed, **row, **devices[row["device"]], **known}
        for _, rows in found
        for row in rows
    ]


@dataclass(frozen=True)
class Whole:
    """What a seed's cloud made: what the experiments start from, the reference and the CNN."""

    base: Base
    reference: Ref
    cnn: Ref | None


def grow(settings: Settings) -> Whole:
    """The cloud's phase, as the pipeline runs it."""
    job = job_of(settings)
    reference = trained_reference(job, given_reference(settings)).model
    elastic = elastic_of(job, reference)
    return Whole(Base(job, elastic, scored_grid(job, elastic)), reference, plain_cnn(job))


def beside(grown: Whole) -> Row:
    """On public test data the accuracy of the reference, of its full and its smallest variant and
    of the plain CNN; and by ``devices`` what the reference and the CNN reach on theirs."""
    b = grown.base
    devices, constants = b.settings.devices, b.settings.matching.energy
    known = run_step(score_reference, grown.reference, b.world, devices, constants, b.machine)
    by_size = sorted(zip(map(size, b.variants), b.grid_on_test(), strict=True))
    public: Row = {
        "public_reference": known["test_accuracy"],
        "public_full": by_size[-1][1],
        "public_smallest": by_size[0][1],
        "devices": [known["devices"]],
    }
    if grown.cnn is None:
        return public
    plain = run_step(score_cnn, grown.cnn, b.world, devices, b.machine)
    found = [*public["devices"], plain["devices"]]
    return public | {"public_cnn": plain["test_accuracy"], "devices": found}


def size(variant: Any) -> int:
    """In parameters."""
    return int(variant.parameters)


def of_cluster(b: Base, cluster: Cluster) -> tuple[Mixing, list[Row]]:
    """Both phases for one cluster: who listened to whom, and its devices' rows."""
    data, info = b.world, b.world.info
    fitted = cluster_backbone(b.job, cluster, b.elastic, b.variants)
    done = customize_cluster(b.job, cluster, fitted.backbone)
    messages = [*fitted.messages, *done.messages]
    own = {device.name: data.samples[device.name] for device in cluster.devices}
    headers = central.kept_headers(done.rounds)
    scored = run_step(central.score_devices, done.coarse, headers, own, info, b.machine)
    received = [states[0] for states in done.rounds]
    more = ceilings(b.job, cluster.edge, done.coarse.backbone, received)
    learned = {name: row for found in more for name, row in found["devices"].items()}
    rows = [
        {
            "cluster": cluster.edge,
            **row,
            **learned.get(row["device"], {}),
            **costs(row["device"], own[row["device"]], messages, info),
        }
        for row in scored
    ]
    return done.mixing, rows
