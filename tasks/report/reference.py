"""What the reference reaches on the same test splits, and what it would cost every device: what a
fleet gives up, or does not, by not giving everyone the reference."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Any

from torch import nn

from models.backbone.family import Backbone
from models.backbone.size import parameter_count
from models.backbone.training import logits_of, restricted_accuracy, scores
from models.matching.energy import modelled_energy_joule
from models.matching.recipe import EnergyConstants
from tasks.data.samples import World
from tasks.report.evaluation import LATENCY_BATCH, latency_s, profile_of
from tasks.report.heldout import test_split
from tasks.run.cached import retried
from tasks.run.cnn import load_cnn
from tasks.run.compute import Machine
from tasks.run.modules import load_backbone
from tasks.run.store import Ref, read
from tasks.settings.fleet import Device

Row = dict[str, Any]


@retried("evaluate the reference")
def score_reference(
    reference: Ref,
    world: World,
    devices: Sequence[Device],
    constants: EnergyConstants,
    machine: Machine,
) -> Row:
    """The reference on the public test split, and under ``devices`` on each device's own.

    Returns:
        ``parameters``, ``bytes``, ``latency_s``, ``test_samples``, ``test_accuracy``, and by
        device ``accuracy_reference``, ``accuracy_reference_own_classes`` and
        ``modelled_energy_joule_reference``.
    """
    place = machine.prepare()
    vit = load_backbone(reference).to(place)
    images, labels = test_split(world.cloud, world.info)
    found = {device.name: _on_device(vit, world, device, constants) for device in devices}
    return {
        "parameters": parameter_count(vit),
        "bytes": len(read(reference)),
        "latency_s": latency_s(vit, images[:LATENCY_BATCH].to(place)),
        "test_samples": len(labels),
        "test_accuracy": scores(logits_of(vit, images), labels)[1],
        "devices": found,
    }


@retried("evaluate the plain CNN")
def score_cnn(cnn: Ref, world: World, devices: Sequence[Device], machine: Machine) -> Row:
    """The plain CNN on the public test split, and on the devices' own.

    Returns:
        ``bytes``, ``test_accuracy``, and by device ``accuracy_cnn`` and
        ``accuracy_cnn_own_classes``, for which it is told the device's classes; of these the means.
    """
    model = load_cnn(cnn).to(machine.prepare())
    images, labels = test_split(world.cloud, world.info)
    found = {device.name: _accuracies(model, world, device) for device in devices}
    return {
        "bytes": len(read(cnn)),
        "test_accuracy": scores(logits_of(model, images), labels)[1],
        "accuracy_mean": mean(plain for plain, _ in found.values()),
        "accuracy_own_classes_mean": mean(told for _, told in found.values()),
        "devices": {
            name: {"accuracy_cnn": plain, "accuracy_cnn_own_classes": told}
            for name, (plain, told) in found.items()
        },
    }


def _accuracies(model: nn.Module, world: World, device: Device) -> tuple[float, float]:
    """On a device's own test split: as it is, and told the device's classes."""
    images, labels = test_split(world.samples[device.name], world.info)
    told, logits = world.classes(device.name).all, logits_of(model, images)
    return scores(logits, labels)[1], restricted_accuracy(logits, labels, told)


def _on_device(vit: Backbone, world: World, device: Device, constants: EnergyConstants) -> Row:
    accuracy, told = _accuracies(vit, world, device)
    config = vit.config
    return {
        "accuracy_reference": accuracy,
        "accuracy_reference_own_classes": told,
        "modelled_energy_joule_reference": modelled_energy_joule(
            profile_of(device), constants, 1.0, config.depth, config.positions
        ),
    }
