"""Fig. 10 and Fig. 11: whose data are alike, and what listening to alike devices is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.backbone.features import extract
from models.header.build import HeaderConfig, build_header, neurons, restore, state_of
from models.header.search import train_header
from models.header.split import Split
from models.refinement.aggregation import row_weights
from models.refinement.loop import LoopRecipe, Way, refine
from models.refinement.mixers import MIXERS, mixing_weights
from models.refinement.recipe import Likeness
from models.refinement.similarity import DISTANCES, Matrix, debiased, distances, similarity
from models.refinement.training import DeviceData
from models.statistics import cluster_purity, rank_agreement
from models.training import Loop
from tasks.data.modality import DataInfo
from tasks.data.samples import read_split
from tasks.experiments.tuning import mean_accuracy
from tasks.run.cached import cached
from tasks.run.compute import Machine
from tasks.run.modules import load_backbone
from tasks.run.progress import progress
from tasks.run.store import Ref, put_tensors, read_tensors
from tasks.settings import params as settings
from tasks.settings.fleet import BYTES_PER_PARAMETER

Row = dict[str, Any]
LITERAL, RANDOM, TUNED = "literal Eq. 20", "random pruning", "fine-tuning alone"


@dataclass(frozen=True)
class Cluster:
    """Devices' features under one backbone, and what they are standardised by."""

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
        for debias, matrix in ((False, raw), (True, debiased(sketches, distance))):
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
    parts = [_part(read_tensors(ref)[0], "train", count) for ref in features]
    shared = Split(torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts]))
    module = build_header(HeaderConfig.from_dict(config), seed)
    loop = Loop(recipe.retrain_steps, min(recipe.batch_size, len(shared.labels)), recipe.lr)
    train_header(module, shared, loop, torch.Generator().manual_seed(seed))
    return put_tensors("header", state_of(module), config)


@cached("refine, {place.level}, {place.samples} samples, {place.strength} pruned")
def refined_rows(
    cluster: Cluster,
    header: Ref,
    recipe: settings.Refinement,
    place: Place,
    seed: int,
    machine: Machine,
) -> list[Row]:
    """Alg. 2 by every method on one cluster, from the same header and batches; means over the
    devices of accuracy on their own test splits, after the last pruning and after tuning."""
    on, samples = machine.prepare(), place.samples
    state, config = read_tensors(header)
    own = [read_tensors(ref)[0] for ref in cluster.features]
    train = [DeviceData(*_part(t, "train", samples)) for t in own]
    test = [DeviceData(*_part(t, "test", None)) for t in own]
    received = [restore(HeaderConfig.from_dict(config), state).to(on) for _ in own]
    sketches = sketches_of(cluster, min(recipe.sketch_samples, samples))
    common = {
        **asdict(place),
        "received": mean_accuracy(received, test),
        "own_classes": mean_accuracy(received, test, train),
    }
    fraction = place.strength / recipe.rounds
    ways = {
        method: Way(weights, fraction) for method, weights in _weights(sketches, recipe).items()
    }
    ways |= {RANDOM: Way(None, fraction), TUNED: Way(np.eye(len(own)), 0.0)}
    words = f"refining, {place.level}, {samples} samples, {place.strength} pruned"
    with progress(words) as on_round:
        outcomes = refine(received, train, list(ways.values()), loop_recipe(recipe), seed, on_round)
    return [
        {
            **common,
            "method": method,
            "after_pruning": mean_accuracy(outcome.pruned, test),
            "after_tuning": mean_accuracy(outcome.tuned, test),
            "after_tuning_own_classes": mean_accuracy(outcome.tuned, test, train),
        }
        for method, outcome in zip(ways, outcomes, strict=True)
    ]


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


def _weights(sketches: list[np.ndarray], recipe: settings.Refinement) -> dict[str, Matrix]:
    def by(method: str, temperature: float, debias: bool) -> Matrix:
        return mixing_weights(Likeness(method, temperature, debias), sketches)[1]

    ours = {m: by(m, recipe.temperature, recipe.debias) for m in MIXERS}
    return {"alone": np.eye(len(sketches)), **ours, LITERAL: by("wasserstein", 1.0, False)}


def loop_recipe(recipe: settings.Refinement) -> LoopRecipe:
    """The settings' loop."""
    return recipe.part(LoopRecipe)


def _part(tensors: dict[str, Tensor], split: str, count: int | None) -> tuple[Tensor, Tensor]:
    return (
        tensors[f"{split}_features"][:count].float(),
        tensors[f"{split}_labels"][:count].long(),
    )
