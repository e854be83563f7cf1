"""The elastic backbone (Sec. III-B1, Alg. 1): rank, distil, score, cut and send down.

The cloud reads the public set alone. What it knows of the fleet are the statistics that edges send
up.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from models.backbone import elastic, features, importance, scoring, size, slicing
from models.backbone.distillation import Distillation, distill
from models.backbone.elastic import Grid
from models.backbone.family import BackboneConfig
from models.header.split import Split
from tasks.cloud.public import Public
from tasks.links.ends import CLOUD
from tasks.links.link import Message, Route, send
from tasks.links.records import Variant
from tasks.run.cached import cached
from tasks.run.compute import Machine
from tasks.run.errors import SettingsError
from tasks.run.modules import load_backbone, put_backbone
from tasks.run.progress import progress
from tasks.run.store import Ref, read_tensors


@cached("cloud: rank heads and neurons")
def rank(reference: Ref, public: Public, samples: int, machine: Machine) -> Ref:
    """Importance of heads and neurons (Eq. 6-8) on public train samples; each layer reordered by
    it, so that every narrower variant is a prefix."""
    device = machine.prepare()
    vit = load_backbone(reference).to(device)
    scores = importance.importance(vit, *public.first(samples))
    return put_backbone(elastic.reorder(vit, scores))


@cached("cloud: distil all variants")
def distil(
    ranked: Ref,
    public: Public,
    grid: Grid,
    recipe: Distillation,
    seed: int,
    machine: Machine,
) -> Ref:
    """Two-stage distillation (Eq. 9) of the ranked model into one that serves every variant.

    Raises:
        SettingsError: the recipe says ``parallel``, and the public texts have no translations.
    """
    if recipe.parallel and public.parallel() is None:
        raise SettingsError(
            "backbone.distillation.parallel: the public texts are no translations of each other: "
            "false"
        )
    device = machine.prepare()
    vit = load_backbone(ranked).to(device)
    generator = torch.Generator().manual_seed(seed)
    with progress("cloud: distilling") as on_step:
        distill(vit, public.examples(vit), grid, recipe, generator, on_step)
    return put_backbone(vit)


@cached("cloud: score the grid")
def score(
    elastic_model: Ref, public: Public, grid: Grid, refit_samples: int, machine: Machine
) -> list[Variant]:
    """Every variant of the grid W x D on the public validation split: with the reference header,
    and with one fitted to it on so many public train samples, if any."""
    device = machine.prepare()
    vit = load_backbone(elastic_model).to(device)
    train = public.first(refit_samples) if refit_samples else None
    found = scoring.score_grid(vit, public.split("val"), grid, train=train)
    return [_variant(score, vit.config) for score in found]


@cached("cloud: cut the backbone of {edge}")
def cut(elastic_model: Ref, edge: str, width: float, depth: int, strategy: str) -> Ref:
    """The cluster's variant as a real smaller module."""
    vit = slicing.slice_variant(load_backbone(elastic_model), width, depth, strategy)
    return put_backbone(vit)


@cached("cloud: send the backbone to {edge}")
def send_backbone(edge: str, backbone: Ref) -> Message:
    """The cluster's backbone and its reference header go down to the edge."""
    state, config = read_tensors(backbone)
    return send("backbone", Route(CLOUD, edge), state, {"config": config})


@cached("cloud: send public features to {edge}")
def send_public_features(
    edge: str, backbone: Ref, public: Public, samples: int, machine: Machine
) -> Message:
    """Features of public samples under the cluster's backbone, in half precision: what the edge
    trains headers on besides its shared set. No raw sample crosses the link."""
    tensors = _public_features(backbone, public, samples, machine)
    return send("public_features", Route(CLOUD, edge), tensors)


@lru_cache(maxsize=1)
def _public_features(
    backbone: Ref, public: Public, samples: int, machine: Machine
) -> dict[str, Tensor]:
    """Remembered for the next cluster, which may have the same backbone."""
    vit = load_backbone(backbone).to(machine.prepare())
    tensors: dict[str, Tensor] = {}
    for split, prefix, count in (("train", "", samples), ("val", "val_", samples // 4)):
        images, labels = public.split(split)
        own = Split.of(features.extract(vit, images[:count]), labels[:count])
        tensors |= own.compact.named(prefix)
    return tensors


def _variant(score: Any, full: BackboneConfig) -> Variant:
    config = elastic.variant_config(full, score.width, score.depth)
    return Variant(
        width=score.width,
        depth=score.depth,
        val_loss=score.loss,
        val_accuracy=score.accuracy,
        parameters=size.backbone_parameters(config),
        zeta=size.zeta(score.width, score.depth, full),
        flops=size.flops(config),
        refit_loss=score.refit and score.refit.loss,
        refit_accuracy=score.refit and score.refit.accuracy,
    )
