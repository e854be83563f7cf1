"""Phase 2 (Sec. III-C and III-D): a header per edge, refined by every device with its peers."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from prefect import flow
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from flows import on_device
from flows.hooks import STAGE_HOOKS
from flows.job import Job
from tasks.cloud import backbone as cloud
from tasks.cloud.public import Public
from tasks.device.rounds import Turn
from tasks.edge import header
from tasks.edge.mixing import compare, mix
from tasks.links.link import Message
from tasks.links.records import Coarse, Mixing, Search, State
from tasks.report.outputs import Customized, publish_customization, read_cut
from tasks.run.compute import Machine
from tasks.run.store import Ref
from tasks.settings.case import Case
from tasks.settings.fleet import Cluster
from tasks.settings.params import (
    HeaderSearch,
    JointTraining,
    Likeness,
    LocalTraining,
    Pruning,
    Settings,
)


@flow(
    name="customize",
    flow_run_name="customize, seed {settings.seed}",
    validate_parameters=False,
    **STAGE_HOOKS,
)
def customize(case: Case, settings: Settings) -> None:
    """Every cluster in turn; the devices of a cluster together."""
    job, results = Job.of(case, settings), list[Customized]()
    shown = create_progress_artifact(
        0.0, key=case.key("customize"), description="Clusters customized"
    )
    assert isinstance(shown, UUID)  # a coroutine only in async flows
    for cluster in settings.fleet:
        results.append(customize_cluster(job, cluster, read_cut(case.backbone, cluster.edge)))
        update_progress_artifact(shown, 100 * len(results) / len(settings.fleet))
    classes = len(job.world.info.classes)
    facts = [on_device.describe_data(*owned, classes) for owned in job.world.devices.items()]
    publish_customization(case.customize, results, facts)


def customize_cluster(job: Job, cluster: Cluster, cut: Ref) -> Customized:
    """Coarse header at the edge from the cluster's backbone, then T rounds between the edge and its
    devices."""
    found = search_at_edge(job, cluster, cut)
    mixing, rounds, messages = refine_on_devices(job, cluster, found)
    everything = (*found.messages, *messages)
    return Customized(found.search, found.coarse, mixing, tuple(map(tuple, rounds)), everything)


def refine_on_devices(
    job: Job, cluster: Cluster, found: Found
) -> tuple[Mixing, list[list[State]], list[Message]]:
    """The model goes down to every device; then they refine it with their edge."""
    name, settings, machine = cluster.edge, job.settings, job.machine
    recipe, samples = settings.refinement, job.world.samples
    models = [header.send_model(found.coarse, d.name, found.shared) for d in cluster.devices]
    features, received, sketches = [], [], []
    for d, model in zip(cluster.devices, models, strict=True):
        own = on_device.embed(d.name, model, samples[d.name], job.world.info, machine)
        seed = settings.seed + d.id
        features.append(own)
        received.append(on_device.receive_model(d.name, model, own, machine))
        sketches.append(
            on_device.send_sketch(name, d.name, model, own, recipe.sketch_samples, seed)
        )
    mixing = compare(name, sketches, recipe.part(Likeness))
    messages = [*models, *sketches]
    rounds = refine(settings, name, received, features, mixing, machine, messages)
    return mixing, rounds, messages


@dataclass(frozen=True)
class Found:
    """What an edge's search came to, the features of its shared set, and all messages."""

    search: Search
    coarse: Coarse
    shared: Ref
    messages: tuple[Message, ...]


def search_at_edge(job: Job, cluster: Cluster, cut: Ref) -> Found:
    """What the edge needs comes in from both sides; then it searches."""
    name, recipe, seed = cluster.edge, job.settings.edge, job.settings.seed
    samples, info, machine = job.world.samples, job.world.info, job.machine
    backbone = cloud.send_backbone(name, cut)
    public = None
    if recipe.public_features:
        public = cloud.send_public_features(
            name, cut, Public(job.world.cloud, info), recipe.public_features, machine
        )
    consented = [on_device.send_shared(name, d.name, samples[d.name]) for d in cluster.devices]
    own = header.Consented(tuple(consented), info)
    shared = header.embed_shared(name, backbone, own, machine)
    material = header.Material(name, backbone, public, shared, cluster.storage_limit)
    search = header.search_header(material, recipe.part(HeaderSearch), seed, machine)
    together = recipe.part(JointTraining)
    coarse = header.settle(search, backbone, own, together, seed, machine)
    messages = [*([public] if public else []), backbone, *consented]
    return Found(search, coarse, shared, tuple(messages))


def refine(
    settings: Settings,
    edge: str,
    received: list[State],
    features: list[Ref],
    mixing: Mixing,
    machine: Machine,
    messages: list[Message],
    kept: Mapping[int, Sequence[Message]] | None = None,
) -> list[list[State]]:
    """Alg. 2: T rounds, or until no device gains on its validation split. A device that is left out
    of a round is named.

    ``kept`` holds, by round, the importance sets of peers that do not take part this time.
    """
    recipe, seed = settings.refinement, settings.seed
    local, amount = recipe.part(LocalTraining), recipe.part(Pruning)
    rounds = [received]
    for t in range(1, recipe.rounds + 1):
        turn = Turn(edge, t, recipe.steps, seed)
        trained = on_device.train(turn, rounds[-1], features, local, recipe.joint, machine)
        sets, metrics = report(edge, trained)
        peers = list(kept[t]) if kept else []
        mixed = mix(edge, t, sets + peers, trained[0].neurons_received, mixing, recipe.quorum)
        tuning, answers = Turn(edge, t, recipe.tuning_steps, seed), list(mixed.messages)
        rounds.append(on_device.prune(tuning, trained, answers, features, amount, local, machine))
        messages.extend([*sets, *metrics, *mixed.messages])
        for device, reason in mixed.left_out.items():
            print(f"{edge}, round {t}: {device} is left out: {reason}", file=sys.stderr)
        if not any(gained(before, after) for before, after in zip(*rounds[-2:], strict=True)):
            break
    return rounds


def report(name: str, trained: list[State]) -> tuple[list[Message], list[Message]]:
    """The devices' sets and metrics of a round; a device that fails is left out, not fatal."""
    outcomes = [on_device.send_importance(name, state, return_state=True) for state in trained]
    sent = [outcome.result() for outcome in outcomes if outcome.is_completed()]
    return [pair[0] for pair in sent], [pair[1] for pair in sent]


def gained(before: State, after: State) -> bool:
    """Whether a round helped a device on its validation split."""
    return (after.val_accuracy, -after.val_loss) > (before.val_accuracy, -before.val_loss)
