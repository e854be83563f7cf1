"""The final evaluation, on test splits, after every choice is made.

It also measures latency. Measured times differ from run to run, so nothing that an earlier stage
decides depends on what is written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from models.answers import answered, restricted
from models.backbone.elastic import Grid
from models.backbone.family import Backbone
from models.backbone.features import FeatureExtractor
from models.backbone.scoring import score_grid
from models.backbone.size import backbone_parameters, parameter_count
from models.backbone.size import flops as backbone_flops
from models.backbone.slicing import slice_variant
from models.backbone.training import restricted_accuracy, scores
from models.header.build import header_flops, slim
from models.header.config import HeaderConfig
from models.header.split import Split
from models.matching.energy import DeviceProfile, modelled_energy_joule, modelled_latency_s
from models.matching.recipe import EnergyConstants
from models.ranges import Answerable
from models.refinement.rounds import shipped
from models.statistics import confusion
from tasks.data.modality import DataInfo
from tasks.data.samples import Classes, classes_of
from tasks.delivery.shipped import Made, ship
from tasks.delivery.tokenizer import words_kept
from tasks.links.records import Match, Search, State, Variant
from tasks.report.heldout import test_seen, test_split
from tasks.run.cached import retried
from tasks.run.compute import Machine, hardware
from tasks.run.latency import seconds_a_call
from tasks.run.modules import load_backbone, load_header
from tasks.run.store import Ref, read_tensors
from tasks.settings.fleet import BYTES_PER_PARAMETER, Device

LATENCY_BATCH = 32
LATENCY_REPEATS, LATENCY_LEAST_S = 3, 0.05  # a long call varies less, and costs more

Row = dict[str, Any]
Confusion = dict[str, dict[str, int]]


@torch.no_grad()
def latency_s(module: nn.Module, example: Tensor | tuple[Tensor, ...]) -> float:
    """Median measured seconds of a forward pass over ``example``, after a warm-up."""
    return median(seconds_a_call(module, example, LATENCY_REPEATS, LATENCY_LEAST_S))


@dataclass(frozen=True)
class Cloud:
    """The cloud's outcome: the elastic backbone, all that can be cut of it, the variants, and what
    every cluster was matched with."""

    elastic: Ref
    grid: Grid
    variants: Sequence[Variant]
    matches: Sequence[Match]


@dataclass(frozen=True)
class Outcome:
    """A device's outcome: the context of its samples, what its cluster was matched with, the
    backbone and header that it received, its state after every round, and which classes its model
    answers; of texts, the tokenizer by which they are numbered."""

    device: Device
    context: str
    match: Match
    backbone: Ref
    header: str
    rounds: Sequence[State]
    answers: Answerable
    tokenizer: Ref | None = None


@retried("evaluate the variants")
def score_variants(cloud: Cloud, public: Ref, info: DataInfo, machine: Machine) -> list[Row]:
    """Every variant on the public test split, with its measured latency, as a table row."""
    place, strategy = machine.prepare(), cloud.grid.depth_strategy
    vit = load_backbone(cloud.elastic).to(place)
    images, labels = test_split(public, info)
    on_test, rows = score_grid(vit, (images, labels), cloud.grid), []
    for index, (variant, found) in enumerate(zip(cloud.variants, on_test, strict=True)):
        small = slice_variant(vit, variant.width, variant.depth, strategy).to(place)
        rows.append(
            {
                "width": variant.width,
                "depth": variant.depth,
                "parameters": variant.parameters,
                "zeta": variant.zeta,
                "flops": variant.flops,
                "val_loss": variant.val_loss,
                "val_accuracy": variant.val_accuracy,
                **_refitted(variant),
                "test_loss": found.loss,
                "test_accuracy": found.accuracy,
                "bytes": BYTES_PER_PARAMETER * variant.parameters,
                "latency_s": latency_s(small, images[:LATENCY_BATCH].to(place)),
                "modelled_energy_joule": {
                    m.edge: m.modelled_energy_joule[index] for m in cloud.matches
                },
            }
        )
    return rows


def _refitted(variant: Variant) -> Row:
    """How a header does that was fitted to the variant, where one was."""
    own = {"refit_loss": variant.refit_loss, "refit_accuracy": variant.refit_accuracy}
    return {name: value for name, value in own.items() if value is not None}


@retried("evaluate the headers of {search.edge}")
def score_headers(
    search: Search, match: Match, backbone: Ref, public: Ref, info: DataInfo, machine: Machine
) -> list[Row]:
    """Every trained header with its cluster's backbone, as it was cut, on the public test split."""
    place = machine.prepare()
    vit = load_backbone(backbone).to(place)
    images, labels = test_split(public, info)
    data = test_seen(public, backbone, info, machine)
    fixed = _backbone_columns(vit, match)
    extractor, timed = FeatureExtractor(vit), data.at(slice(LATENCY_BATCH)).to(place).inputs
    of_backbone_s = latency_s(extractor, images[:LATENCY_BATCH].to(place))
    rows = []
    for index, header in enumerate(search.headers):
        module = load_header(header.state)[0].eval()
        with torch.no_grad():
            loss, accuracy = scores(module(*data.inputs), labels)
        rows.append(
            {
                **fixed,
                "edge": search.edge,
                "name": header.name,
                "kind": header.kind,
                "winner": index == search.winner,
                "parameters": header.parameters,
                "bytes": BYTES_PER_PARAMETER * header.parameters,
                "flops": fixed["backbone_flops"] + header.flops,
                "header_flops": header.flops,
                "val_loss": header.val_loss,
                "val_accuracy": header.val_accuracy,
                "test_loss": loss,
                "test_accuracy": accuracy,
                "latency_s": of_backbone_s + latency_s(module.to(place), timed),
            }
        )
    return rows


@retried("evaluate {outcome.device.name}")
def score_device(
    outcome: Outcome,
    samples: Ref,
    info: DataInfo,
    constants: EnergyConstants,
    machine: Machine,
    folder: Path,
) -> Row:
    """A device's rounds on its own test split; ships what the device chose (:func:`shipped`).

    Returns:
        The device's row of the summary, with ``rounds``: one row a round.
    """
    place, rounds = machine.prepare(), outcome.rounds
    vit, classes = load_backbone(outcome.backbone), classes_of(samples)
    data = test_seen(samples, outcome.backbone, info, machine)
    labels = data.labels
    kept, flops = shipped(rounds), backbone_flops(vit.config)
    judged = [Judged.of(state, data) for state in rounds]
    rows = [_round_row(one, t == kept, flops, data, classes) for t, one in enumerate(judged)]
    told = answered(outcome.answers, classes.own, classes.wanted)
    words = words_kept(samples, outcome.tokenizer)
    made = Made(vit, rounds[kept], told)
    model, file = ship(folder, made, info, words)
    answers = restricted(judged[kept].logits, told)
    before = restricted(judged[0].logits, classes.all)
    counts = _confusion(answers, labels, info.classes)
    example = info.example(LATENCY_BATCH, None if words is None else words.numbers)
    return {
        **_got(outcome, kept),
        **_modelled(outcome, constants, vit.config.positions),
        **_accuracies(rounds, rows, kept),
        "accuracy_refined": scores(answers, labels)[1],
        **_turned(before, answers, labels),
        **_wanted(rows, counts, _named(classes.wanted, info)),
        "samples_sha256": samples.sha256,
        "classes": _named(classes.own, info),
        "params": parameter_count(model),
        **({} if words is None else {"words": len(words.numbers)}),
        "bytes": file.stat().st_size,
        "flops": rows[kept]["flops"],
        "latency_s": latency_s(model.to(place), example.to(place)),
        "test_samples": len(labels),
        "answers": outcome.answers,
        "confusion": counts,
        "rounds": rows,
    }


def _got(outcome: Outcome, kept: int) -> Row:
    """What a device got, of whom, and what it made of it."""
    device, match, rounds = outcome.device, outcome.match, outcome.rounds
    return {
        "device": device.name,
        "context": outcome.context,
        "cluster": match.edge,
        "width": match.width,
        "depth": match.depth,
        "header": outcome.header,
        "header_params_received": rounds[0].parameters,
        "header_params_refined": rounds[kept].parameters,
        "round_kept": kept,
        "way_kept": rounds[kept].way,
        "storage_limit": device.storage_limit,
    }


def _modelled(outcome: Outcome, constants: EnergyConstants, positions: int) -> Row:
    profile, width, depth = profile_of(outcome.device), outcome.match.width, outcome.match.depth
    joule = modelled_energy_joule(profile, constants, width, depth, positions)
    return {
        "modelled_energy_joule": joule,
        "modelled_latency_s": modelled_latency_s(profile, constants, width, depth),
    }


def _accuracies(rounds: Sequence[State], rows: Sequence[Row], kept: int) -> Row:
    """Before the rounds and in the one that was kept, on val and test data."""
    return {
        "val_accuracy_received": rounds[0].val_accuracy,
        "val_accuracy_refined": rounds[kept].val_accuracy,
        "accuracy_received": rows[0]["test_accuracy"],
        "accuracy_received_own_classes": rows[0]["test_accuracy_own_classes"],
        "accuracy_refined_own_classes": rows[kept]["test_accuracy_own_classes"],
    }


def _turned(before: Tensor, now: Tensor, labels: Tensor) -> Row:
    """How many samples are right only now (``won``), and were right only then (``lost``): by what
    was received, told its classes."""
    then, since = (logits.argmax(1) == labels for logits in (before, now))
    return {"won": int((since & ~then).sum()), "lost": int((then & ~since).sum())}


def _wanted(rows: Sequence[Row], confusion: Confusion, wanted: Sequence[str]) -> Row:
    """Of a device that wants classes of which it has no sample, these; and where its test split has
    some, how many, and the accuracy on them: of what it received, told its classes, and of what
    ships, as it ships."""
    if not wanted:
        return {}
    met = [confusion[name] for name in wanted if name in confusion]
    if not met:
        return {"wanted": list(wanted)}
    count = sum(sum(answers.values()) for answers in met)
    right = sum(confusion[name].get(name, 0) for name in wanted if name in confusion)
    return {
        "wanted": list(wanted),
        "wanted_test_samples": count,
        "accuracy_received_wanted": rows[0]["test_accuracy_wanted"],
        "accuracy_refined_wanted": right / count,
    }


def measured_on(machine: Machine) -> str:
    """Of what, and on what, latencies are measured, in words."""
    return f"batches of {LATENCY_BATCH} on {hardware(machine)}"


def centralised_bytes(devices: Sequence[Ref], info: DataInfo) -> int:
    """What a centralised system would upload: every device's train and val samples,
    uncompressed, and a byte for each label."""
    total = 0
    for ref in devices:
        tensors, _ = read_tensors(ref)
        for split in ("train", "val"):
            total += info.raw_bytes(tensors[f"{split}_{info.raw}"]) + len(
                tensors[f"{split}_labels"]
            )
    return total


@dataclass(frozen=True)
class Judged:
    """What a device has after a round, its header, and what that answers on the test split."""

    state: State
    header: nn.Module
    shape: HeaderConfig
    logits: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, state: State, data: Split) -> Judged:
        """On this split."""
        header, shape = load_header(state.header)
        return cls(state, header, shape, header.eval()(*data.inputs))


def _round_row(
    one: Judged,
    kept: bool,
    flops: int,
    data: Split,
    classes: Classes,
) -> Row:
    state, logits = one.state, one.logits
    loss, accuracy = scores(logits, data.labels)
    small = slim(one.header, one.shape)
    of_header = header_flops(small, one.shape)
    return {
        "round": state.round,
        "way": state.way,
        "kept": kept,
        "parameters": state.parameters,
        "bytes": BYTES_PER_PARAMETER * state.parameters,
        "neurons": state.neurons,
        "flops": flops + of_header,
        "header_flops": of_header,
        "val_loss": state.val_loss,
        "val_accuracy": state.val_accuracy,
        "test_loss": loss,
        "test_accuracy": accuracy,
        "test_accuracy_own_classes": restricted_accuracy(logits, data.labels, classes.all),
        **_of_wanted(logits, data.labels, classes),
        "latency_s": latency_s(small, data.at(slice(LATENCY_BATCH)).inputs),
    }


def _of_wanted(logits: Tensor, labels: Tensor, classes: Classes) -> Row:
    """The accuracy on samples of classes that the device wants alone, told all its classes."""
    if classes.wanted is None:
        return {}
    met = torch.isin(labels, classes.wanted)
    if not met.any():
        return {}
    return {"test_accuracy_wanted": restricted_accuracy(logits[met], labels[met], classes.all)}


def _named(labels: Tensor | None, info: DataInfo) -> list[str]:
    return [] if labels is None else [info.classes[int(label)] for label in labels]


def _confusion(answers: Tensor, labels: Tensor, classes: Sequence[str]) -> Confusion:
    """By class how often which class was answered; what never occurred is left out."""
    counts = confusion(labels.numpy(), answers.argmax(1).numpy())
    return {
        classes[label]: {classes[answer]: n for answer, n in row.items()}
        for label, row in counts.items()
    }


def profile_of(device: Device) -> DeviceProfile:
    """What the energy model knows of a device."""
    return DeviceProfile(device.gpu_capacity_watt, device.base_latency_s)


def _backbone_columns(vit: Backbone, match: Match) -> Row:
    return {
        "width": match.width,
        "depth": match.depth,
        "backbone_parameters": backbone_parameters(vit.config.with_vocabulary(match.vocabulary)),
        "backbone_flops": backbone_flops(vit.config),
        "modelled_energy_joule": match.modelled_energy_joule[match.chosen],
    }
