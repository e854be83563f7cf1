"""A device's tasks (Sec. III-D, Alg. 2). Its samples and features stay in its own files.

Devices of a cluster share one header architecture, so that one batched step can train them all;
each still reads its own data, keeps its own weights, and sends its own messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from prefect import task
from torch import Tensor, nn

from models.backbone.config import BackboneConfig
from models.backbone.config import restore as restore_backbone
from models.backbone.features import extract
from models.header.build import HeaderConfig, neurons, restore, slim, state_of
from models.refinement import pruning, training
from tasks import settings
from tasks.compute import Machine
from tasks.data import drift
from tasks.fleet import Device
from tasks.links import Message, receive, send
from tasks.options import CACHED, RETRIED
from tasks.progress import progress
from tasks.records import DataFacts, State
from tasks.samples import DataInfo, read_split
from tasks.store import WORK, Ref, put_tensors, read_tensors

FOLDER = WORK / "devices"


@task(task_run_name="{device.name}: send attributes", **RETRIED)
def send_attributes(edge: str, device: Device) -> Message:
    """C_n, G_n and L_n go up."""
    values = device.model_dump(include={"storage_limit", "gpu_capacity_watt", "base_latency_s"})
    return send("device_attributes", sender=device.name, receiver=edge, values=values)


@task(task_run_name="{device}: remember its data", **RETRIED)
def describe_data(device: str, samples: Ref, classes: int) -> DataFacts:
    """What the device will compare later data with; it does not leave the device."""
    return drift.describe(device, samples, classes)


@task(task_run_name="{then.device}: check its data for drift", **RETRIED)
def check_data(
    samples: Ref, then: DataFacts, classes: Sequence[str], thresholds: drift.Thresholds, out: Path
) -> dict[str, float]:
    """See :func:`tasks.data.drift.check`. Only whether and how far it drifted leaves the device."""
    return drift.check(samples, then, classes, thresholds, out)


@task(task_run_name="{device}: send the shared samples", **CACHED)
def send_shared(edge: str, device: str, samples: Ref, code: str) -> Message:
    """The samples that the device's owner agreed to share go up; train before validation."""
    tensors, _ = read_tensors(samples)
    index = torch.cat([tensors["shared_train"], tensors["shared_val"]])
    return send(
        "shared_samples",
        sender=device,
        receiver=edge,
        tensors={
            "images": tensors["train_images"][index],
            "labels": tensors["train_labels"][index].to(torch.int16),
        },
        values={"train_count": len(tensors["shared_train"])},
    )


@task(task_run_name="{device}: features", **CACHED)
def embed(
    device: str, model: Message, samples: Ref, info: DataInfo, machine: Machine, code: str
) -> Ref:
    """Features of the device's train and val splits under the frozen backbone, computed once."""
    state, values = receive(model)
    config = BackboneConfig.from_dict(values["config"]["backbone"])
    vit = restore_backbone(config, _part(state, "backbone")).to(machine.prepare())
    tensors: dict[str, Tensor] = {}
    for split in ("train", "val"):
        images, labels = read_split(samples, split, info)
        tensors[f"{split}_features"] = extract(vit, images, 256)
        tensors[f"{split}_labels"] = labels
    return put_tensors(FOLDER, f"features-{device}", tensors)


@task(task_run_name="{device}: send a feature sketch", **CACHED)
def send_sketch(
    edge: str, device: str, model: Message, features: Ref, samples: int, seed: int, code: str
) -> Message:
    """A few standardised [CLS] features of train samples go up, in half precision (Eq. 19)."""
    state, _ = receive(model)
    tokens = read_tensors(features)[0]["train_features"][:, 0, 0]
    chosen = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(seed))[:samples]
    sketch = (tokens[chosen] - state["scale.mean"]) / state["scale.std"]
    return send("feature_sketch", sender=device, receiver=edge, tensors={"features": sketch.half()})


@task(task_run_name="{device}: receive the model", **CACHED)
def receive_model(device: str, model: Message, features: Ref, machine: Machine, code: str) -> State:
    """Round 0: the header as the edge sent it, scored on the device's val split."""
    machine.prepare()
    state, values = receive(model)
    config = HeaderConfig.from_dict(values["config"]["header"])
    header = restore(config, _part(state, "header"))
    return _scored(device, 0, header, config, features)


@task(task_run_name="{edge} devices, round {round}: train", **CACHED)
def train(
    edge: str,
    round: int,
    states: list[State],
    features: list[Ref],
    recipe: settings.Refinement,
    seed: int,
    machine: Machine,
    code: str,
) -> list[State]:
    """Every device trains its header locally and accumulates its importance set (Eq. 16-18)."""
    headers, configs, sets = _fit(
        f"{edge} devices, round {round}: training",
        states,
        features,
        recipe,
        recipe.steps,
        [seed + 1000 * round + i for i in range(len(states))],
        machine,
    )
    return [
        _scored(
            s.device,
            round,
            header,
            config,
            feature,
            put_tensors(FOLDER, f"importance-{s.device}", {"importance": values}),
        )
        for s, header, config, feature, values in zip(
            states, headers, configs, features, sets, strict=True
        )
    ]


@task(task_run_name="{state.device}, round {state.round}: send its importance set", **RETRIED)
def send_importance(edge: str, state: State) -> list[Message]:
    """The importance of each header neuron, and how well the header does, go up."""
    if state.importance is None:
        raise ValueError(f"{state.device} has no importance set in round {state.round}")
    importance, _ = read_tensors(state.importance)
    metrics = {
        "val_loss": state.val_loss,
        "val_accuracy": state.val_accuracy,
        "parameters": state.parameters,
    }
    to_edge = partial(send, sender=state.device, receiver=edge, round=state.round)
    return [to_edge("importance_set", tensors=importance), to_edge("metrics", values=metrics)]


@task(task_run_name="{edge} devices, round {round}: prune and tune", **CACHED)
def prune(
    edge: str,
    round: int,
    states: list[State],
    mixed: list[Message],
    features: list[Ref],
    recipe: settings.Refinement,
    seed: int,
    machine: Machine,
    code: str,
) -> list[State]:
    """Every device discards its least important neurons by the set that it got back, and tunes
    what is left. A device that got none keeps its neurons this round."""
    received = {m.receiver: receive(m)[0]["importance"].numpy() for m in mixed}
    pruned = [_prune_one(s, received.get(s.device), recipe) for s in states]
    headers, configs, _ = _fit(
        f"{edge} devices, round {round}: tuning",
        pruned,
        features,
        recipe,
        recipe.tuning_steps,
        [seed + 1000 * round + 500 + i for i in range(len(states))],
        machine,
    )
    return [
        _scored(s.device, round, header, config, feature)
        for s, header, config, feature in zip(states, headers, configs, features, strict=True)
    ]


def _prune_one(state: State, importance: np.ndarray | None, recipe: settings.Refinement) -> State:
    if importance is None:
        return state
    header, config = load_header(state.header)
    alive = pruning.choose(
        importance,
        pruning.alive_of(header),
        round_count(recipe.prune_fraction, len(importance)),
        list(neurons(header).values()),
        recipe.min_per_layer,
    )
    pruning.apply_masks(header, alive)
    ref = put_tensors(FOLDER, f"pruned-{state.device}", state_of(header), config.to_dict())
    return replace(state, header=ref)


def round_count(fraction: float, total: int) -> int:
    """How many neurons go in a round: a fraction of all neurons of the received header."""
    return int(fraction * total)


def load_header(ref: Ref) -> tuple[nn.Module, HeaderConfig]:
    """A header as a state file holds it, full or sliced."""
    state, values = read_tensors(ref)
    config = HeaderConfig.from_dict(values)
    return restore(config, state), config


def _fit(
    title: str,
    states: Sequence[State],
    features: Sequence[Ref],
    recipe: settings.Refinement,
    steps: int,
    seeds: list[int],
    machine: Machine,
) -> tuple[list[nn.Module], list[HeaderConfig], Tensor]:
    place = machine.prepare()
    loaded = [load_header(s.header) for s in states]
    headers = [header.to(place) for header, _ in loaded]
    data = [_data(f, "train") for f in features]
    with progress(title) as on_step:
        sets = training.fit_devices(
            headers,
            data,
            steps=steps,
            batch_size=recipe.batch_size,
            lr=recipe.lr,
            weight_decay=recipe.weight_decay,
            seeds=seeds,
            joint=recipe.joint,
            on_step=on_step,
        )
    return [h.cpu() for h in headers], [c for _, c in loaded], sets


def _data(features: Ref, split: str) -> training.DeviceData:
    tensors, _ = read_tensors(features)
    return training.DeviceData(tensors[f"{split}_features"], tensors[f"{split}_labels"])


def _scored(
    device: str,
    round: int,
    header: nn.Module,
    config: HeaderConfig,
    features: Ref,
    importance: Ref | None = None,
) -> State:
    [(loss, accuracy)] = training.evaluate_devices([header], [_data(features, "val")])
    alive = pruning.alive_of(header)
    shipped = slim(header, config)
    return State(
        device=device,
        round=round,
        header=put_tensors(FOLDER, f"header-{device}-{round}", state_of(header), config.to_dict()),
        importance=importance,
        parameters=sum(p.numel() for p in shipped.parameters()),
        neurons=int(alive.sum()),
        neurons_received=len(alive),
        val_loss=loss,
        val_accuracy=accuracy,
    )


def _part(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}."
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
