"""The elastic backbone (Sec. III-B1, Alg. 1): rank, distil, score, cut and send down.

The cloud reads the public set alone. What it knows of the fleet are the statistics that edges send
up.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.backbone import distillation, elastic, features, importance, scoring, size, slicing
from models.backbone.config import BackboneConfig, config_of
from tasks.cloud.reference import FOLDER
from tasks.data.samples import DataInfo, read_split
from tasks.links.link import Message, send
from tasks.links.records import Variant
from tasks.run.cached import cached
from tasks.run.compute import Machine
from tasks.run.files import Ref
from tasks.run.modules import load_backbone, put_backbone
from tasks.run.progress import progress
from tasks.run.store import read_tensors
from tasks.settings import params as settings


@cached("cloud: rank heads and neurons")
def rank(reference: Ref, public: Ref, info: DataInfo, samples: int, machine: Machine) -> Ref:
    """Importance of heads and neurons (Eq. 6-8) on public train samples; each layer reordered by
    it, so that every narrower variant is a prefix."""
    device = machine.prepare()
    vit = load_backbone(reference).to(device)
    images, labels = read_split(public, "train", info)
    scores = importance.importance(vit, images[:samples], labels[:samples])
    return put_backbone(FOLDER, "ranked", elastic.reorder(vit, scores))


@cached("cloud: distil all variants")
def distil(
    ranked: Ref,
    public: Ref,
    info: DataInfo,
    grid: settings.Grid,
    recipe: settings.Distillation,
    seed: int,
    machine: Machine,
) -> Ref:
    """Two-stage distillation (Eq. 9) of the ranked model into one that serves every variant."""
    device = machine.prepare()
    student, teacher = load_backbone(ranked).to(device), load_backbone(ranked).to(device)
    images, labels = read_split(public, "train", info)
    with progress("cloud: distilling") as on_step:
        distillation.distill(
            student,
            teacher,
            images,
            labels,
            widths=grid.widths,
            depths=grid.depths,
            strategy=grid.depth_strategy,
            width_steps=recipe.width_steps,
            depth_steps=recipe.depth_steps,
            batch_size=recipe.batch_size,
            lr=recipe.lr,
            weights=distillation.LossWeights(
                logits=recipe.logits_weight,
                embeddings=recipe.embeddings_weight,
                hidden=recipe.hidden_weight,
                labels=recipe.label_weight,
            ),
            generator=torch.Generator().manual_seed(seed),
            on_step=on_step,
        )
    return put_backbone(FOLDER, "elastic", student)


@cached("cloud: score the grid")
def score(
    elastic_model: Ref,
    public: Ref,
    info: DataInfo,
    grid: settings.Grid,
    machine: Machine,
) -> list[Variant]:
    """Every variant of the grid W x D on the public validation split."""
    device = machine.prepare()
    vit = load_backbone(elastic_model).to(device)
    images, labels = read_split(public, "val", info)
    scores = scoring.score_grid(vit, images, labels, grid.widths, grid.depths, grid.depth_strategy)
    full = config_of(vit)
    return [_variant(s, full) for s in scores]


@cached("cloud: cut the backbone of {edge}")
def cut(elastic_model: Ref, edge: str, width: float, depth: int, strategy: str) -> Ref:
    """The cluster's variant as a real smaller module."""
    vit = slicing.slice_variant(load_backbone(elastic_model), width, depth, strategy)
    return put_backbone(FOLDER, f"backbone-{edge}", vit)


@cached("cloud: send the backbone to {edge}")
def send_backbone(edge: str, backbone: Ref) -> Message:
    """The cluster's backbone and its reference header go down to the edge."""
    state, config = read_tensors(backbone)
    return send("backbone", sender="cloud", receiver=edge, tensors=state, values={"config": config})


@cached("cloud: send public features to {edge}")
def send_public_features(
    edge: str, backbone: Ref, public: Ref, info: DataInfo, samples: int, machine: Machine
) -> Message:
    """Features of public samples under the cluster's backbone, in half precision: what the edge
    trains headers on besides its shared set. No raw sample crosses the link."""
    vit = load_backbone(backbone).to(machine.prepare())
    tensors: dict[str, Tensor] = {}
    for split, prefix, count in (("train", "", samples), ("val", "val_", samples // 4)):
        images, labels = read_split(public, split, info)
        tensors[f"{prefix}features"] = features.extract(vit, images[:count], 256).half()
        tensors[f"{prefix}labels"] = labels[:count].to(torch.int16)
    return send("public_features", sender="cloud", receiver=edge, tensors=tensors)


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
    )
