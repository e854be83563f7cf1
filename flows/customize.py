"""Phase 2 (Sec. III-C and III-D): a header per edge, refined by every device with its peers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from prefect import flow
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from flows.hooks import STAGE_HOOKS
from tasks import cloud, device, edge
from tasks.compute import Machine
from tasks.fleet import Cluster
from tasks.links import Message
from tasks.options import code_version
from tasks.outputs import cut_backbone, publish_customization
from tasks.records import Coarse, Mixing, Search, State
from tasks.samples import DataInfo, read_info, samples_ref
from tasks.settings import Settings
from tasks.store import Ref

PHASE = ("models.backbone", "models.header", "models.refinement", "tasks.edge", "tasks.device")
"""What cached tasks of this phase rely on."""


@dataclass(frozen=True)
class Customized:
    """What one cluster's loop left: the search, who listened to whom, every device's rounds."""

    search: Search
    coarse: Coarse
    mixing: Mixing
    rounds: tuple[tuple[State, ...], ...]
    left_out: tuple[dict[str, str], ...]


@flow(
    name="customize",
    flow_run_name="customize, seed {settings.seed}",
    validate_parameters=False,
    **STAGE_HOOKS,
)
def customize(settings: Settings) -> None:
    """Every cluster in turn; the devices of a cluster together."""
    info, machine = read_info(), Machine(settings.compute, settings.threads)
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
            device.describe_data(d.name, samples_ref(d.name), len(info.classes))
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
    code = code_version(*PHASE)
    search, coarse, shared = search_at_edge(
        settings, cluster, cut, samples, info, machine, code, messages
    )
    mixing, rounds, left_out = refine_on_devices(
        settings, cluster, coarse, shared, samples, info, machine, code, messages
    )
    return Customized(search, coarse, mixing, tuple(map(tuple, rounds)), tuple(left_out))


def refine_on_devices(
    settings: Settings,
    cluster: Cluster,
    coarse: Coarse,
    shared: Ref,
    samples: Mapping[str, Ref],
    info: DataInfo,
    machine: Machine,
    code: str,
    messages: list[Message],
) -> tuple[Mixing, list[list[State]], list[dict[str, str]]]:
    """The model goes down to every device; then they refine it with their edge."""
    models = [edge.send_model(coarse, d.name, shared, code) for d in cluster.devices]
    features = [
        device.embed(d.name, model, samples[d.name], info, machine, code)
        for d, model in zip(cluster.devices, models, strict=True)
    ]
    received = [
        device.receive_model(d.name, model, f, machine, code)
        for d, model, f in zip(cluster.devices, models, features, strict=True)
    ]
    recipe = settings.refinement
    sketches = [
        device.send_sketch(
            cluster.edge, d.name, model, f, recipe.sketch_samples, settings.seed + d.id, code
        )
        for d, model, f in zip(cluster.devices, models, features, strict=True)
    ]
    mixing = edge.compare(cluster.edge, sketches, recipe, code)
    messages.extend([*models, *sketches])
    rounds, left_out = refine(
        settings, cluster, received, features, mixing, machine, code, messages
    )
    return mixing, rounds, left_out


def search_at_edge(
    settings: Settings,
    cluster: Cluster,
    cut: Ref,
    samples: Mapping[str, Ref],
    info: DataInfo,
    machine: Machine,
    code: str,
    messages: list[Message],
) -> tuple[Search, Coarse, Ref]:
    """What the edge needs comes in from both sides; then it searches."""
    name, recipe = cluster.edge, settings.edge
    backbone = cloud.send_backbone(name, cut, code)
    public = None
    if recipe.public_features:
        public = cloud.send_public_features(
            name, cut, samples["cloud"], info, recipe.public_features, machine, code
        )
        messages.append(public)
    consented = [device.send_shared(name, d.name, samples[d.name], code) for d in cluster.devices]
    shared = edge.embed_shared(name, backbone, consented, info, machine, code)
    search = edge.search_header(
        name,
        backbone,
        public,
        shared,
        cluster.storage_limit,
        recipe,
        settings.seed,
        machine,
        code,
    )
    coarse = edge.settle(search, backbone, consented, info, recipe, settings.seed, machine, code)
    messages.extend([backbone, *consented])
    return search, coarse, shared


def refine(
    settings: Settings,
    cluster: Cluster,
    received: list[State],
    features: list[Ref],
    mixing: Mixing,
    machine: Machine,
    code: str,
    messages: list[Message],
    kept: Mapping[int, Sequence[Message]] | None = None,
) -> tuple[list[list[State]], list[dict[str, str]]]:
    """Alg. 2: T rounds, or until no device gains on its validation split.

    ``kept`` holds, by round, the importance sets of peers that do not take part this time.
    """
    recipe, name = settings.refinement, cluster.edge
    rounds, left_out = [received], []
    for t in range(1, recipe.rounds + 1):
        trained = device.train(name, t, rounds[-1], features, recipe, settings.seed, machine, code)
        sets, metrics = report(name, trained)
        peers = list(kept[t]) if kept else []
        mixed = edge.mix(name, t, sets + peers, trained[0].neurons_received, mixing, recipe.quorum)
        rounds.append(
            device.prune(
                name,
                t,
                trained,
                list(mixed.messages),
                features,
                recipe,
                settings.seed,
                machine,
                code,
            )
        )
        messages.extend([*sets, *metrics, *mixed.messages])
        left_out.append(mixed.left_out)
        if not any(gained(before, after) for before, after in zip(*rounds[-2:], strict=True)):
            break
    return rounds, left_out


def report(name: str, trained: list[State]) -> tuple[list[Message], list[Message]]:
    """The devices' sets and metrics of a round; a device that fails is left out, not fatal."""
    outcomes = [device.send_importance(name, state, return_state=True) for state in trained]
    sent = [outcome.result() for outcome in outcomes if outcome.is_completed()]
    return [pair[0] for pair in sent], [pair[1] for pair in sent]


def gained(before: State, after: State) -> bool:
    """Whether a round helped a device on its validation split."""
    return (after.val_accuracy, -after.val_loss) > (before.val_accuracy, -before.val_loss)
