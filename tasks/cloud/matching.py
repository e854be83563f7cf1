"""Which variant a cluster gets (Sec. III-B2, Eq. 10-13)."""

from __future__ import annotations

from models.backbone.config import config_from
from models.backbone.elastic import variant_config
from models.backbone.family import BackboneConfig
from models.backbone.size import backbone_parameters
from models.matching.candidates import Candidate
from models.matching.energy import DeviceProfile, cluster_energy_joule
from models.matching.selection import select
from tasks.links.link import Message, receive
from tasks.links.records import Match, Variant
from tasks.run.cached import retried
from tasks.run.store import Ref, read_tensors
from tasks.settings import params as settings


@retried("cloud: match {statistics.sender}")
def match(
    elastic_model: Ref,
    variants: list[Variant],
    statistics: Message,
    rules: settings.Matching,
    seed: int,
) -> Match:
    """Pareto front grid and Eq. 13 (or another rule) for one cluster, from its statistics alone. A
    variant's loss and accuracy are those with a header fitted to it, where it has them.

    Raises:
        NothingFitsError: no variant leaves room for the header budget within the cluster's limit.
    """
    _, values = receive(statistics, "cluster_statistics")
    devices = [
        DeviceProfile(watt, latency_s)
        for watt, latency_s in zip(
            values["gpu_capacity_watt"], values["base_latency_s"], strict=True
        )
    ]
    full, rows = config_from(read_tensors(elastic_model)[1]), values.get("vocabulary")
    parameters = tuple(_parameters(variant, full, rows) for variant in variants)
    candidates = [
        Candidate(
            v.width,
            v.depth,
            v.val_loss if v.refit_loss is None else v.refit_loss,
            v.val_accuracy if v.refit_accuracy is None else v.refit_accuracy,
            size,
            cluster_energy_joule(devices, rules.energy, v.width, v.depth, full.positions),
        )
        for v, size in zip(variants, parameters, strict=True)
    ]
    selection = select(
        candidates,
        values["storage_limit"] - rules.header_budget,
        rules,
        seed=seed,
        cluster=statistics.sender,
    )
    best = candidates[selection.chosen]
    return Match(
        edge=statistics.sender,
        width=best.width,
        depth=best.depth,
        limit=values["storage_limit"],
        modelled_energy_joule=tuple(c.energy_joule for c in candidates),
        chosen=selection.chosen,
        fitting=selection.fitting,
        front=selection.front,
        search_set=selection.search_set,
        vocabulary=rows,
        parameters=None if rows is None else parameters,
    )


def _parameters(variant: Variant, full: BackboneConfig, rows: int | None) -> int:
    """Of a variant with so many words; with all where none is told."""
    if rows is None:
        return variant.parameters
    config = variant_config(full, variant.width, variant.depth)
    return backbone_parameters(config.with_vocabulary(rows))
