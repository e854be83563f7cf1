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
from tasks.cloud import backbone as cloud
from tasks.cloud.public import Public
from tasks.data.samples import DataInfo, read_info, samples_ref
from tasks.device.rounds import Turn
from tasks.edge import header
from tasks.edge.mixing import compare, mix
from tasks.links.link import Message
from tasks.links.records import Coarse, Mixing, Search, State
from tasks.report.outputs import cut_backbone, publish_customization
from tasks.run.compute import Machine
from tasks.run.files import Ref
from tasks.settings.fleet import Cluster
from tasks.settings.params import (
    HeaderSearch,
    JointTraining,
    Likeness,
    LocalTraining,
    Pruning,
    Settings,
)


@dataclass(frozen=True)
class Customized:
    """What one cluster's loop left: the search, who listened to whom, every device's rounds."""

    search: Search
    coarse: Coarse
    mixing: Mixing
    rounds: tuple[tuple[State, ...], ...]


@flow(
    name="customize",
    flow_run_name="customize, seed {settings.seed}",
    validate_parameters=False,
    **STAGE_HOOKS,
)
def customize(settings: Settings) -> None:
    """Every cluster in turn; the devices of a cluster together."""
    info, machine = read_info(), Machine.of(settings.compute, settings.threads)
    messages: list[Message] = []
    results: list[Customized] = []
    shown = create_progress_artifact(0.0, key="customize", description="Clusters customized")
    assert isinstance(shown, UUID)  # a coroutine only in async flows
    for cluster in settings.fleet:
        cut = cut_backbone(cluster.edge)
        samples = {
            name: samples_ref(name) for name in ("cloud", *(d.name for d in cluster.devices))
        }
        results.append(customize_cluster(settings, cluster, cut, samples, info, machine, messages))
        update_progress_artifact(shown, 100 * len(results) / len(settings.fleet))
    publish_customization(
        [r.search for r in results],
        [r.coarse for r in results],
        [r.mixing for r in results],
        [state for r in results for states in r.rounds for state in states],
        [
            on_device.describe_data(d.name, samples_ref(d.name), len(info.classes))
            for cluster in settings.fleet
            for d in cluster.devices
        ],
        messages,
    )


def customize_cluster(
    settings: Settings,
    cluster: Cluster,
    cut: Ref,
    samples: Mapping[str, Ref],
    info: DataInfo,
    machine: Machine,
    messages: list[Message],
) -> Customized:
    """Coarse header at the edge, then T rounds between the edge and its devices.

    ``cut`` is the cluster's backbone; ``samples`` holds each owner's, by name.
    """
    search, coarse, shared = search_at_edge(
        settings, cluster, cut, samples, info, machine, messages
    )
    mixing, rounds = refine_on_devices(
        settings, cluster, coarse, shared, samples, info, machine, messages
    )
    return Customized(search, coarse, mixing, tuple(map(tuple, rounds)))


def refine_on_devices(
    settings: Settings,
    cluster: Cluster,
    coarse: Coarse,
    shared: Ref,
    samples: Mapping[str, Ref],
    info: DataInfo,
    machine: Machine,
    messages: list[Message],
) -> tuple[Mixing, list[list[State]]]:
    """The model goes down to every device; then they refine it with their edge."""
    name, recipe = cluster.edge, settings.refinement
    models = [header.send_model(coarse, d.name, shared) for d in cluster.devices]
    features, received, sketches = [], [], []
    for d, model in zip(cluster.devices, models, strict=True):
        own = on_device.embed(d.name, model, samples[d.name], info, machine)
        seed = settings.seed + d.id
        features.append(own)
        received.append(on_device.receive_model(d.name, model, own, machine))
        sketches.append(
            on_device.send_sketch(name, d.name, model, own, recipe.sketch_samples, seed)
        )
    mixing = compare(name, sketches, recipe.part(Likeness))
    messages.extend([*models, *sketches])
    return mixing, refine(settings, name, received, features, mixing, machine, messages)


def search_at_edge(
    settings: Settings,
    cluster: Cluster,
    cut: Ref,
    samples: Mapping[str, Ref],
    info: DataInfo,
    machine: Machine,
    messages: list[Message],
) -> tuple[Search, Coarse, Ref]:
    """What the edge needs comes in from both sides; then it searches."""
    name, recipe, seed = cluster.edge, settings.edge, settings.seed
    backbone = cloud.send_backbone(name, cut)
    public = None
    if recipe.public_features:
        public = cloud.send_public_features(
            name, cut, Public(samples["cloud"], info), recipe.public_features, machine
        )
        messages.append(public)
    consented = [on_device.send_shared(name, d.name, samples[d.name]) for d in cluster.devices]
    own = header.Consented(tuple(consented), info)
    shared = header.embed_shared(name, backbone, own, machine)
    material = header.Material(name, backbone, public, shared, cluster.storage_limit)
    search = header.search_header(material, recipe.part(HeaderSearch), seed, machine)
    together = recipe.part(JointTraining)
    coarse = header.settle(search, backbone, own, together, seed, machine)
    messages.extend([backbone, *consented])
    return search, coarse, shared


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
