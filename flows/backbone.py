"""Phase 1 (Sec. III-B): one elastic backbone, and the variant of it that each cluster gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.hooks import STAGE_HOOKS
from tasks import cloud, device, edge
from tasks.compute import Machine
from tasks.fleet import Cluster
from tasks.links import Message
from tasks.options import code_version
from tasks.outputs import publish_backbone
from tasks.records import Match, Variant
from tasks.reference import bring, is_registered
from tasks.samples import DataInfo, read_info, samples_ref
from tasks.settings import Settings
from tasks.store import Ref


@flow(
    name="backbone",
    flow_run_name="backbone, seed {settings.seed}",
    validate_parameters=False,
    **STAGE_HOOKS,
)
def backbone(settings: Settings) -> None:
    """Train, rank, distil and score once; then match and cut for every cluster."""
    machine = Machine(settings.compute, settings.threads)
    code = code_version("models.backbone", "tasks.cloud", "tasks.samples")
    info, public = read_info(), samples_ref("cloud")
    elastic = elastic_backbone(settings, public, info, machine, code)
    variants = cloud.score(elastic, public, info, settings.backbone, machine, code)

    messages: list[Message] = []
    matches: list[Match] = []
    backbones: list[Ref] = []
    for cluster in settings.fleet:
        statistics = cluster_statistics(cluster, messages)
        match = cloud.match(elastic, variants, statistics, settings.matching, settings.seed)
        matches.append(match)
        backbones.append(cloud.cut(elastic, match, settings.backbone.depth_strategy, code))
    publish_backbone(elastic, variants, matches, backbones, messages)
    create_table_artifact(
        key="front",
        table=front_table(variants, matches),
        description="The grid of variants: on a cluster's front (o), chosen for it (*).",
    )


def elastic_backbone(
    settings: Settings, public: Ref, info: DataInfo, machine: Machine, code: str
) -> Ref:
    """Alg. 1, lines 2-4."""
    spec, seed = settings.backbone, settings.seed
    name = spec.reference.name
    registered = bring(name, Path.cwd()) if name and is_registered(name) else None
    reference = cloud.train_reference(
        public,
        info,
        spec.reference,
        spec.training,
        max(spec.depths),
        seed,
        machine,
        code,
        registered,
    )
    ranked = cloud.rank(reference, public, info, spec.importance_samples, machine, code)
    return cloud.distil(ranked, public, info, spec, seed, machine, code)


def cluster_statistics(cluster: Cluster, messages: list[Message]) -> Message:
    """Attributes go up from the devices to their edge, and statistics from there to the cloud."""
    attributes = [device.send_attributes(cluster.edge, d) for d in cluster.devices]
    statistics = edge.send_statistics(cluster.edge, attributes)
    messages.extend([*attributes, statistics])
    return statistics


def front_table(variants: list[Variant], matches: list[Match]) -> list[dict[str, Any]]:
    """The grid with a column a cluster."""
    return [
        {
            "width": v.width,
            "depth": v.depth,
            "parameters": v.parameters,
            "val_loss": round(v.val_loss, 4),
            "val_accuracy": round(v.val_accuracy, 4),
            **{m.edge: "*" if i == m.chosen else "o" if i in m.front else "" for m in matches},
        }
        for i, v in enumerate(variants)
    ]
