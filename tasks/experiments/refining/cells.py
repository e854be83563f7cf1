"""Fig. 10 and Fig. 11: whose data are alike, and what listening to alike devices is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import torch

from models.backbone.features import extract
from models.header.build import HeaderConfig, build_header, neurons, restore, state_of
from models.header.search import train_header
from models.header.split import Split
from models.refinement.aggregation import row_weights
from models.refinement.mixers import MIXERS, mixing_weights
from models.refinement.recipe import Likeness
from models.refinement.similarity import DISTANCES, Halves, distances, similarity
from models.statistics import cluster_purity, rank_agreement
from models.training import Loop
from tasks.data.modality import DataInfo
from tasks.data.samples import read_split
from tasks.device.own import Answer, Own
from tasks.device.scores import metrics, scored, split_of
from tasks.experiments.tuning import mean_accuracy
from tasks.links.link import Message, Route, receive, send
from tasks.links.records import Mixing, State
from tasks.run.cached import cached
from tasks.run.compute import Machine
from tasks.run.modules import load_backbone, load_header
from tasks.run.store import Ref, put_tensors, read_tensors
from tasks.settings import params as settings
from tasks.settings.fleet import BYTES_PER_PARAMETER

Row = dict[str, Any]
EDGE = "cluster"
LITERAL, RANDOM, TUNED = "literal Eq. 20", "random pruning", "fine-tuning alone"
LISTEN = {"exchange": "importance"}
WAYS: dict[str, dict[str, Any]] = {
    "alone": {**LISTEN, "method": "itself"},
    **{method: {**LISTEN, "method": method} for method in MIXERS if method != "itself"},
    LITERAL: {**LISTEN, "method": "wasserstein", "temperature": 1.0, "debias": False},
    RANDOM: LISTEN,  # and what comes back is drawn: :func:`at_random`
    TUNED: {"exchange": "none"},
}
"""The methods that are compared: what each changes of Alg. 2's settings."""


@dataclass(frozen=True)
class Cluster:
    """Devices by name, in the order of their ids from 0, their features under one backbone, and
    what these are standardised by."""

    devices: tuple[str, ...]
    features: list[Ref]
    scale: Ref


@dataclass(frozen=True)
class Place:
    """Where methods are compared: which header the devices received, how unlike their data are, how
    many train samples each has, and the share of the header's neurons that is gone after all
    rounds."""

    header: str
    level: str
    samples: int
    strength: float


@cached("scale of the features")
def feature_scale(
    backbone: Ref, public: Ref, info: DataInfo, samples: int, machine: Machine
) -> Ref:
    """Mean and deviation of [CLS] on public train samples: what every device standardises by."""
    vit = load_backbone(backbone).to(machine.prepare())
    images, _ = read_split(public, "train", info)
    tokens = extract(vit, images[:samples]).tokens[:, 0, 0]
    return put_tensors("scale", {"mean": tokens.mean(0), "std": tokens.std(0) + 1e-6})


@cached("similarity, {level}, {samples} samples")
def similarity_rows(cluster: Cluster, groups: Sequence[int], level: str, samples: int) -> list[Row]:
    """Distances by Wasserstein and Jensen-Shannon, literal and debiased, against the true groups:
    devices of one group hold the same classes. ``weights`` are Eq. 20's."""
    sketches = sketches_of(cluster, samples)
    rows = []
    for name, distance in DISTANCES.items():
        raw = distances(sketches, distance)
        for debias, matrix in ((False, raw), (True, Halves.of(sketches, distance).debiased)):
            rows.append(
                {
                    "level": level,
                    "samples": samples,
                    "distance": name,
                    "debiased": debias,
                    "rank_agreement": rank_agreement(matrix, groups),
                    "purity": cluster_purity(matrix, groups),
                    "weights": row_weights(similarity(matrix), 0.1 if debias else 1.0).tolist(),
                }
            )
    return rows


@cached("header on {count} shared samples a device")
def header_on_shared(
    header: Ref,
    features: list[Ref],
    count: int,
    recipe: settings.HeaderSearch,
    seed: int,
    machine: Machine,
) -> Ref:
    """What the paper's edge sends down: the architecture of ``header``, trained from scratch on
    nothing but the ``count`` samples that each device gave to its edge."""
    machine.prepare()
    _, config = read_tensors(header)
    shared = reduce(Split.join, [split_of(ref, "train").at(slice(count)) for ref in features])
    module = build_header(HeaderConfig.from_dict(config), seed)
    loop = Loop(recipe.retrain_steps, min(recipe.batch_size, len(shared.labels)), recipe.lr)
    train_header(module, shared, loop, torch.Generator().manual_seed(seed))
    return put_tensors("header", state_of(module), config)


@cached("what the devices received, {samples} samples")
def received(cluster: Cluster, header: Ref, samples: int, machine: Machine) -> list[Answer]:
    """Every device with the header that all received, and that many of its train samples; how the
    header does on its validation split."""
    machine.prepare()
    state, values = read_tensors(header)
    config, configs = HeaderConfig.from_dict(values), {"config": {"header": values}}
    tensors = {f"header.{name}": value for name, value in state.items()}
    answers = []
    for number, (device, ref) in enumerate(zip(cluster.devices, cluster.features, strict=True)):
        model = send("customized_model", Route(EDGE, device), tensors, configs)
        features = _own_part(ref, samples)
        own = Own(EDGE, device, number, None, model, features)
        own = replace(own, state=scored(own, 0, restore(config, state), config, features))
        answers.append(Answer(own, (metrics(own),)))
    return answers


@cached("who listens to whom, {recipe.method}, {samples} samples")
def mixing(cluster: Cluster, samples: int, recipe: Likeness) -> Mixing:
    """Eq. 19 and 20 on the sketches of Fig. 10."""
    matrices = mixing_weights(recipe, sketches_of(cluster, samples))
    rows = [tuple(tuple(row) for row in matrix.tolist()) for matrix in matrices]
    return Mixing(EDGE, cluster.devices, *rows)


def at_random(body: Message, seed: int) -> Message:
    """What came back to a device, with numbers that say nothing in place of its content."""
    count = len(receive(body, body.kind)[0]["importance"])
    drawn = torch.from_numpy(np.random.default_rng(seed).random(count)).float()
    return send(body.kind, body.route, {"importance": drawn})


@cached("accuracy of the devices on their test splits")
def judged(
    cluster: Cluster, before: list[Own], after: list[State], machine: Machine
) -> dict[str, float]:
    """Mean accuracy of the devices on their own test splits: of what they received, after the last
    pruning, and after tuning what it left."""
    place = machine.prepare()
    test = [split_of(ref, "test") for ref in cluster.features]
    train = [split_of(own.adopted[1], "train") for own in before]

    def of(headers: list[Ref], own: list[Split] | None = None) -> float:
        return mean_accuracy([load_header(ref)[0].to(place) for ref in headers], test, own)

    first = [own.adopted[2].header for own in before]
    pruned, tuned = [s.pruned for s in after if s.pruned], [s.header for s in after]
    return {
        "received": of(first),
        "own_classes": of(first, train),
        "after_pruning": of(pruned),
        "after_tuning": of(tuned),
        "after_tuning_own_classes": of(tuned, train),
    }


def set_bytes(header: Ref, rounds: int) -> dict[str, int]:
    """What importance sets cost a device going up: a float32 a neuron, or a parameter."""
    state, values = read_tensors(header)
    module = restore(HeaderConfig.from_dict(values), state)
    parameters = sum(p.numel() for p in module.parameters())
    return {
        "neuron": BYTES_PER_PARAMETER * rounds * sum(neurons(module).values()),
        "parameter": BYTES_PER_PARAMETER * rounds * parameters,
    }


def sketches_of(cluster: Cluster, samples: int) -> list[np.ndarray]:
    """The first ``samples`` standardised [CLS] features of every device's train split."""
    of_public, _ = read_tensors(cluster.scale)
    return [
        (
            (read_tensors(ref)[0]["train_features"][:samples, 0, 0].float() - of_public["mean"])
            / of_public["std"]
        ).numpy()
        for ref in cluster.features
    ]


def _own_part(ref: Ref, samples: int) -> Ref:
    """What a device trains and validates on: its test split stays behind."""
    train, val = split_of(ref, "train").at(slice(samples)), split_of(ref, "val")
    return put_tensors("features", train.named("train_") | val.named("val_"))
