"""Who finds whom by sketches of the devices of a run that is done, of images or of texts."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.backbone.features import extract
from models.refinement.mixers import mixing_weights
from models.refinement.recipe import Likeness
from models.refinement.recovery import Recovery, recovery
from models.refinement.sketches import SKETCHES
from tasks.data.samples import World, read_split, read_world, with_spare
from tasks.report.outputs import read_backbone
from tasks.run.modules import load_backbone
from tasks.run.store import Ref
from tasks.settings.case import Case
from tasks.settings.fleet import Cluster
from tasks.settings.params import Settings, load

PUBLIC = 1000
"""Samples of the cloud's that features are standardised by."""


def recovered_in(case: Case, seeds: int) -> dict[str, tuple[int, list[Recovery]]]:
    """By kind of sketch the bytes of its numbers, and what each of so many draws recovers.

    Raises:
        ArtifactError: the case has no finished run.
    """
    settings = load(case.params)
    world = with_spare(
        read_world(case.partition, [device.name for device in settings.devices]), case.partition
    )
    clusters = [_standardised(case, cluster, world) for cluster in settings.fleet]
    return {name: _recovered(name, clusters, world, settings, seeds) for name in SKETCHES}


def _standardised(case: Case, cluster: Cluster, world: World) -> dict[str, Tensor]:
    """[CLS] of every device's train samples, by public ones."""
    vit = load_backbone(read_backbone(case.customize, cluster.edge))

    def tokens(ref: Ref, most: int | None = None) -> Tensor:
        return extract(vit, read_split(ref, "train", world.info)[0][:most]).tokens[:, 0, 0]

    public = tokens(world.cloud, PUBLIC)
    scale = public.mean(0), public.std(0) + 1e-6
    return {d.name: (tokens(world.samples[d.name]) - scale[0]) / scale[1] for d in cluster.devices}


def _recovered(
    name: str,
    clusters: list[dict[str, Tensor]],
    world: World,
    settings: Settings,
    seeds: int,
) -> tuple[int, list[Recovery]]:
    recipe, found, size = settings.refinement, [], 0
    for seed in range(seeds):
        weighed = []
        for cluster in clusters:
            points = dict[str, np.ndarray]()
            for number, (device, values) in enumerate(cluster.items()):
                stream = torch.Generator().manual_seed(1000 * seed + number)
                made = SKETCHES[name].make(values, recipe.sketch_samples, stream)
                if made is not None:
                    points[device] = made.half().float().numpy()
                    size = 2 * made.numel()
            _, weights = mixing_weights(recipe.part(Likeness), list(points.values()))
            weighed.append((weights, [world.contexts[device] for device in points]))
        share = recovery(weighed)
        assert share is not None
        found.append(share)
    return size, found
