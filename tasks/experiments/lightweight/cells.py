"""Fig. 7a and 13a: ACME's best model within a size against lightweight models from scratch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from models.backbone.batches import in_batches
from models.backbone.families.vit import flipped
from models.backbone.family import unchanged
from models.backbone.size import parameter_count
from models.backbone.training import Examples, evaluate, fit
from models.baselines.devit import DeViT
from models.baselines.families import Padded, build_baseline
from models.baselines.images import Images
from models.header.build import build_header
from models.header.config import SEARCHED, HeaderConfig
from models.progress import OnStep
from models.refinement.training import DeviceData
from tasks.data.modality import DataInfo, of_images
from tasks.data.samples import classes_of, read_split
from tasks.experiments.tuning import mean_accuracy, tuned_alone
from tasks.experiments.world import World
from tasks.report.heldout import test_split
from tasks.run.cached import cached
from tasks.run.compute import Machine
from tasks.run.modules import load_header
from tasks.run.progress import progress
from tasks.run.store import Ref, read_tensors
from tasks.settings import params as settings

Row = dict[str, Any]
ACME = "ACME"
LONGER = "ACME, longer pre-training"  # a control: not at equal training
LARGE = "the large model itself"  # a control: not within the limit


@dataclass(frozen=True)
class Family:
    """A baseline of at most ``parameters``; ``pretrained``: timm's, with hub weights."""

    name: str
    parameters: int
    patch_size: int
    pretrained: bool


@dataclass(frozen=True)
class Recipe:
    """How a baseline is trained: ACME's number of steps, otherwise as its reference; whether images
    are mirrored is decided in ``training``."""

    steps: int
    lr: float
    training: settings.Training


def equal_steps(spec: settings.Backbone, edge: settings.Edge, public_train: int) -> int:
    """Optimizer steps of ACME's whole training: reference, distillation, search and header."""
    reference = spec.training.total(public_train)
    distillation = spec.distillation.width_steps + spec.distillation.depth_steps
    return reference + distillation + edge.epochs * edge.weight_steps + edge.retrain_steps


@cached("baseline {family.name}")
def baseline(
    family: Family,
    data: World,
    recipe: Recipe,
    refinement: settings.Refinement,
    seed: int,
    machine: Machine,
) -> Row:
    """One family trained (from scratch, unless ``pretrained``) on the public train split with
    ACME's data, number of steps, batch size and augmentation; then its classifier tuned on every
    device for as many steps as ACME's header. Nothing is chosen by any score."""
    place, info, public = machine.prepare(), of_images(data.info), data.cloud
    shape = Images(info.image_size, family.patch_size, info.channels, len(info.classes))
    model = build_baseline(family.name, family.parameters, shape, seed, family.pretrained).to(place)
    with progress(f"baseline {family.name}") as on_step:
        _train(model, read_split(public, "train", info), recipe, seed, on_step)
    _, val = evaluate(model, *read_split(public, "val", info))
    _, test = evaluate(model, *test_split(public, info))
    return {
        "model": family.name,
        "parameters": parameter_count(model),
        "val_accuracy": val,
        "test_accuracy": test,
        **_on_devices(model, list(data.devices.values()), info, refinement, seed),
    }


def acme_row(cells: Sequence[tuple[Ref, list[Row]]], limit: int) -> tuple[Ref, Row] | None:
    """The searched header and backbone of at most ``limit`` parameters that validation prefers."""
    fitting = [
        (backbone, row)
        for backbone, rows in cells
        for row in rows
        if row["header"] == SEARCHED and row["total_parameters"] <= limit
    ]
    if not fitting:
        return None
    return min(fitting, key=lambda pair: (-pair[1]["val_accuracy"], pair[1]["val_loss"]))


@cached("ACME's model on the devices")
def acme_on_devices(
    header: Ref,
    features: list[Ref],
    refinement: settings.Refinement,
    seed: int,
    machine: Machine,
) -> dict[str, float]:
    """The same tuning for ACME's model: its header, on every device, without pruning."""
    machine.prepare()
    own = [read_tensors(ref)[0] for ref in features]
    train, test = ([DeviceData.read(t, f"{split}_") for t in own] for split in ("train", "test"))
    headers = [load_header(header)[0].eval() for _ in own]
    return _scores(headers, tuned_alone(headers, train, refinement, seed), train, test)


def _train(
    model: Padded, split: tuple[Tensor, Tensor], recipe: Recipe, seed: int, on_step: OnStep
) -> None:
    (images, labels), training = split, recipe.training
    each = training.epoch(len(images))
    generator = torch.Generator().manual_seed(seed)

    def run(part: nn.Module, targets: Tensor, epochs: int) -> None:
        given = replace(training, lr=recipe.lr, epochs=epochs, steps=None, patience=None)
        augment = flipped if training.flip else unchanged
        fit(part, Examples(images, targets, augment), given, generator, on_step)

    epochs = math.ceil(recipe.steps / each)
    if not isinstance(model.model, DeViT):
        run(model, labels, epochs)
        return
    # a part costs its share of a step; half of all the work goes to the parts, half to the fusion
    for part, vit in enumerate(model.model.parts):
        targets = model.model.part_targets(labels, part)
        run(Padded(vit, model.size), targets, max(1, epochs // 2))
    run(model, labels, max(1, epochs - epochs // 2))


def _on_devices(
    model: Padded,
    devices: Sequence[Ref],
    info: DataInfo,
    refinement: settings.Refinement,
    seed: int,
) -> dict[str, float]:
    wanted = [classes_of(ref).wanted for ref in devices]
    train = [_pooled(model, read_split(ref, "train", info)) for ref in devices]
    train = [replace(own, wanted=w) for own, w in zip(train, wanted, strict=True)]
    test = [_pooled(model, test_split(ref, info)) for ref in devices]
    headers = [_linear(model.classifier()) for _ in devices]
    return _scores(headers, tuned_alone(headers, train, refinement, seed), train, test)


def _pooled(model: Padded, split: tuple[Tensor, Tensor]) -> DeviceData:
    """Features before the classifier, in the place that a linear header reads."""
    features = torch.cat(in_batches(model, lambda x: model.pooled(x).cpu(), split[0]))
    return DeviceData(features[:, None, None], split[1])


def _linear(classifier: nn.Linear) -> nn.Module:
    width, classes = classifier.in_features, classifier.out_features
    config = HeaderConfig("linear", width, shape=(0,), classes=classes, channels=0, hidden=0)
    return build_header(config, cls_head=(classifier.weight, classifier.bias))


def _scores(
    received: Sequence[nn.Module],
    tuned: Sequence[nn.Module],
    train: Sequence[DeviceData],
    test: Sequence[DeviceData],
) -> dict[str, float]:
    return {
        "device_received": mean_accuracy(received, test),
        "device_own_classes": mean_accuracy(received, test, train),
        "device_tuned": mean_accuracy(tuned, test),
        "device_tuned_own_classes": mean_accuracy(tuned, test, train),
    }
