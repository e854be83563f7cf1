"""The default run, over several seeds."""

from __future__ import annotations

from dataclasses import dataclass

from prefect import flow

from flows.backbone import (
    cluster_backbone,
    elastic_of,
    given_reference,
    plain_cnn,
    scored_grid,
    trained_reference,
)
from flows.ceiling import of_edge
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
    models = whole_models(grown)
    known = on_public(b, models) | {
        "recovered": recovered and recovered.share,
        "recovered_by_chance": recovered and recovered.chance,
    }
    return [
        {
            "seed": settings.seed,
            **row,
            "context": contexts[row["device"]],
            **{k: v for of in models.values() for k, v in of["devices"][row["device"]].items()},
            **known,
        }
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


def whole_models(grown: Whole) -> dict[str, Row]:
    """What the ``reference`` and, where there is one, the ``cnn`` reach on test data: the public
    and, by ``devices``, theirs."""
    b = grown.base
    devices, constants = b.settings.devices, b.settings.matching.energy
    step = (score_reference, grown.reference, b.world, devices, constants, b.machine)
    found = {"reference": run_step(*step)}
    if grown.cnn is not None:
        found["cnn"] = run_step(score_cnn, grown.cnn, b.world, devices, b.machine)
    return found


def on_public(b: Base, models: dict[str, Row]) -> Row:
    """Accuracy on public test data of whole models and of the full and the smallest variant."""
    sizes = [variant.parameters for variant in b.variants]
    by_size = sorted(zip(sizes, b.grid_on_test(), strict=True))
    variants = {"public_full": by_size[-1][1], "public_smallest": by_size[0][1]}
    return {f"public_{name}": of["test_accuracy"] for name, of in models.items()} | variants


def of_cluster(b: Base, cluster: Cluster) -> tuple[Mixing, list[Row]]:
    """Both phases for one cluster: who listened to whom, and its devices' rows."""
    data, info = b.world, b.world.info
    fitted = cluster_backbone(b.job, cluster, b.elastic, b.variants)
    done = customize_cluster(b.job, cluster, fitted.backbone)
    messages = [*fitted.messages, *done.messages]
    own = {device.name: data.samples[device.name] for device in cluster.devices}
    headers = central.kept_headers(done.rounds)
    answers = b.settings.refinement.answers
    scored = run_step(central.score_devices, done.coarse, headers, own, info, b.machine, answers)
    received = [states[0] for states in done.rounds]
    ceiling = of_edge(b.job, cluster.edge, done.coarse.backbone, received)
    learned = ceiling["devices"] if ceiling else {}
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
