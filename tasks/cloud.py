"""The cloud's tasks (Sec. III-B, Alg. 1): train, rank, distil, score, match, cut and send down.

It reads the public set alone. What it knows of the fleet are the statistics that edges send up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from prefect import task
from torch import Tensor

from models.backbone import (
    distillation,
    elastic,
    features,
    importance,
    scoring,
    size,
    slicing,
    training,
)
from models.backbone.config import BackboneConfig, ViT, build, config_of, restore
from models.matching.energy import DeviceProfile, EnergyConstants, cluster_energy_joule
from models.matching.selection import Candidate, select
from tasks import settings
from tasks.compute import Machine
from tasks.errors import SettingsError
from tasks.links import Message, receive, send
from tasks.options import CACHED, RETRIED
from tasks.progress import progress
from tasks.records import Match, Variant
from tasks.samples import DataInfo, read_split
from tasks.store import WORK, Ref, put_tensors, read_tensors

FOLDER = WORK / "backbone"


@task(task_run_name="cloud: train the reference", **CACHED)
def train_reference(
    public: Ref,
    info: DataInfo,
    reference: settings.Reference,
    recipe: settings.Training,
    max_depth: int,
    seed: int,
    machine: Machine,
    code: str,
    registered: Ref | None = None,
) -> Ref:
    """theta_0: from the registry, a hub or a checkpoint where the settings say so, then trained on
    the public train split (``epochs: 0`` leaves it as it is).

    Raises:
        SettingsError: the model does not exist, cannot be sliced, or is too shallow.
    """
    device = machine.prepare()
    vit = reference_model(reference, info, max_depth, seed, registered).to(device)
    images, labels = read_split(public, "train", info)
    with progress("cloud: training the reference") as on_step:
        training.fit(
            vit,
            images,
            labels,
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            lr=recipe.lr,
            weight_decay=recipe.weight_decay,
            generator=torch.Generator().manual_seed(seed),
            on_step=on_step,
        )
    return _put("reference", vit)


@task(task_run_name="cloud: rank heads and neurons", **CACHED)
def rank(
    reference: Ref, public: Ref, info: DataInfo, samples: int, machine: Machine, code: str
) -> Ref:
    """Importance of heads and neurons (Eq. 6-8) on public train samples; each layer reordered by
    it, so that every narrower variant is a prefix."""
    device = machine.prepare()
    vit = load_backbone(reference).to(device)
    images, labels = read_split(public, "train", info)
    scores = importance.importance(vit, images[:samples], labels[:samples])
    return _put("ranked", elastic.reorder(vit, scores))


@task(task_run_name="cloud: distil all variants", **CACHED)
def distil(
    ranked: Ref,
    public: Ref,
    info: DataInfo,
    backbone: settings.Backbone,
    seed: int,
    machine: Machine,
    code: str,
) -> Ref:
    """Two-stage distillation (Eq. 9) of the ranked model into one that serves every variant."""
    device = machine.prepare()
    student, teacher = load_backbone(ranked).to(device), load_backbone(ranked).to(device)
    images, labels = read_split(public, "train", info)
    recipe = backbone.distillation
    with progress("cloud: distilling") as on_step:
        distillation.distill(
            student,
            teacher,
            images,
            labels,
            widths=backbone.widths,
            depths=backbone.depths,
            strategy=backbone.depth_strategy,
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
    return _put("elastic", student)


@task(task_run_name="cloud: score the grid", **CACHED)
def score(
    elastic_model: Ref,
    public: Ref,
    info: DataInfo,
    backbone: settings.Backbone,
    machine: Machine,
    code: str,
) -> list[Variant]:
    """Every variant of the grid W x D on the public validation split."""
    device = machine.prepare()
    vit = load_backbone(elastic_model).to(device)
    images, labels = read_split(public, "val", info)
    scores = scoring.score_grid(
        vit, images, labels, backbone.widths, backbone.depths, backbone.depth_strategy
    )
    full = config_of(vit)
    return [_variant(s, full) for s in scores]


@task(task_run_name="cloud: match {statistics.sender}", **RETRIED)
def match(
    elastic_model: Ref,
    variants: list[Variant],
    statistics: Message,
    rules: settings.Matching,
    seed: int,
) -> Match:
    """Pareto front grid and Eq. 13 (or another rule) for one cluster, from its statistics alone.

    Raises:
        NothingFitsError: no variant leaves room for the header budget within the cluster's limit.
    """
    _, values = receive(statistics)
    devices = [
        DeviceProfile(watt, latency_s)
        for watt, latency_s in zip(
            values["gpu_capacity_watt"], values["base_latency_s"], strict=True
        )
    ]
    constants = EnergyConstants(**rules.energy.model_dump())
    patches = BackboneConfig.from_dict(read_tensors(elastic_model)[1]).grid ** 2
    candidates = [
        Candidate(
            v.width,
            v.depth,
            v.val_loss,
            v.val_accuracy,
            v.parameters,
            cluster_energy_joule(devices, constants, v.width, v.depth, patches),
        )
        for v in variants
    ]
    selection = select(
        candidates,
        values["storage_limit"] - rules.header_budget,
        method=rules.method,
        window=rules.performance_window,
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
    )


@task(task_run_name="cloud: cut the backbone of {match.edge}", **CACHED)
def cut(elastic_model: Ref, match: Match, strategy: str, code: str) -> Ref:
    """The cluster's variant as a real smaller module."""
    vit = slicing.slice_variant(load_backbone(elastic_model), match.width, match.depth, strategy)
    return _put(f"backbone-{match.edge}", vit)


@task(task_run_name="cloud: send the backbone to {edge}", **CACHED)
def send_backbone(edge: str, backbone: Ref, code: str) -> Message:
    """The cluster's backbone and its reference header go down to the edge."""
    state, config = read_tensors(backbone)
    return send("backbone", sender="cloud", receiver=edge, tensors=state, values={"config": config})


@task(task_run_name="cloud: send public features to {edge}", **CACHED)
def send_public_features(
    edge: str, backbone: Ref, public: Ref, info: DataInfo, samples: int, machine: Machine, code: str
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


def load_backbone(ref: Ref | Path) -> ViT:
    """The ViT that a file holds, rebuilt from the configuration beside its weights."""
    state, config = read_tensors(ref)
    return restore(BackboneConfig.from_dict(config), state)


def _put(name: str, vit: ViT) -> Ref:
    return put_tensors(FOLDER, name, vit.state_dict(), config_of(vit).to_dict())


def reference_model(
    spec: settings.Reference,
    info: DataInfo,
    max_depth: int,
    seed: int,
    registered: Ref | None = None,
) -> ViT:
    """The reference model as the settings name it, with its weights where they name some;
    ``registered`` is what :func:`tasks.reference.bring` brought.

    Raises:
        SettingsError: the model or its checkpoint does not exist or does not fit together, cannot
            be sliced, or has fewer layers than ``max_depth``.
    """
    if spec.checkpoint is not None and not spec.checkpoint.is_file():
        raise SettingsError(f"backbone.reference.checkpoint: no file {spec.checkpoint}")
    try:
        if registered:
            vit = _by_registry(registered, info, seed)
        elif spec.name is None:
            vit = _by_dimensions(spec, info, seed)
        else:
            vit = _by_name(spec, info, seed)
        depth = config_of(vit).depth
    except (ValueError, TypeError, RuntimeError, OSError, AssertionError) as error:
        raise SettingsError(f"backbone.reference: {error}") from None
    if depth < max_depth:
        raise SettingsError(f"backbone.depths: {max_depth}, but the reference has {depth} layers")
    return vit


def _by_registry(registered: Ref, info: DataInfo, seed: int) -> ViT:
    """A registered model; a classifier of other classes is left out and starts anew."""
    vit = load_backbone(registered)
    config = config_of(vit)
    if (config.image_size, config.channels) != (info.image_size, info.channels):
        raise SettingsError(
            f"backbone.reference.name: the registered model takes {config.channels} x "
            f"{config.image_size} x {config.image_size} pixels, data.channels and data.image_size "
            f"say {info.channels} x {info.image_size} x {info.image_size}"
        )
    if config.classes != len(info.classes):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            vit.reset_classifier(len(info.classes))  # type: ignore[operator]
    return vit


def _by_dimensions(spec: settings.Reference, info: DataInfo, seed: int) -> ViT:
    vit = build(
        BackboneConfig(
            image_size=info.image_size,
            patch_size=spec.patch_size,
            channels=info.channels,
            classes=len(info.classes),
            dim=spec.dim,
            depth=spec.depth,
            heads=spec.heads,
            head_dim=spec.dim // spec.heads,
            mlp_hidden=int(spec.dim * spec.mlp_ratio),
        ),
        seed,
    )
    if spec.checkpoint is not None:
        from timm.models import load_checkpoint

        load_checkpoint(vit, str(spec.checkpoint))
    return vit


def _by_name(spec: settings.Reference, info: DataInfo, seed: int) -> ViT:
    """A checkpoint is read as hub weights are: timm resamples patch and position embeddings to the
    image size and channels, and leaves out a classifier of other classes."""
    import timm

    if spec.name not in timm.list_models():
        raise SettingsError(f"backbone.reference.name: timm has no model {spec.name!r}")
    source = _checkpoint_source(spec.name, spec.checkpoint) if spec.checkpoint else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return timm.create_model(
            spec.name,
            pretrained=spec.pretrained or source is not None,
            pretrained_cfg_overlay=source,
            img_size=info.image_size,
            in_chans=info.channels,
            num_classes=len(info.classes),
        )


def _checkpoint_source(name: str, path: Path) -> dict[str, Any]:
    """The file and its number of classes, for timm: which loads what fits and only warns of the
    rest, so that a file of another model must be refused here."""
    import timm
    from timm.models import load_state_dict

    state = load_state_dict(str(path))
    with torch.device("meta"):
        needed = timm.create_model(name).state_dict()
    missing = [k for k in needed if k not in state and not k.startswith("head.")]
    if missing:
        raise SettingsError(
            f"backbone.reference.checkpoint: {path} is not of {name}: it has no {missing[0]} "
            f"({len(missing)} of {len(needed)} tensors are missing)"
        )
    return {"file": str(path), "num_classes": len(state.get("head.weight", ()))}


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
