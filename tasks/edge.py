"""An edge server's tasks: the coarse header (Sec. III-C) and the aggregation of Sec. III-D2.

It sees what its devices send: attributes, consented shared samples, feature sketches, importance
sets and scalar metrics. It never reads a device's own files.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch
from prefect import task
from torch import Tensor

from models.backbone.config import BackboneConfig, ViT, restore
from models.backbone.features import extract
from models.backbone.size import backbone_parameters
from models.header.build import HeaderConfig
from models.header.build import restore as restore_header
from models.header.joint import train_jointly
from models.header.search import (
    SampledHeader,
    Split,
    TrainedHeader,
    evaluate,
)
from models.header.space import describe
from models.refinement import aggregation, similarity
from tasks import settings
from tasks.compute import Machine
from tasks.errors import LinkError
from tasks.links import Message, receive, send
from tasks.options import CACHED, RETRIED
from tasks.progress import progress
from tasks.records import Coarse, Header, Mixed, Mixing, Search
from tasks.samples import DataInfo, standardise
from tasks.searching import header_search
from tasks.store import WORK, Ref, put_tensors, read_tensors

FOLDER = WORK / "headers"


@task(task_run_name="{edge}: send statistics", **RETRIED)
def send_statistics(edge: str, attributes: Sequence[Message]) -> Message:
    """The cluster's statistics go up: min C_n, and G_n and L_n of its devices."""
    values = [receive(message)[1] for message in attributes]
    return send(
        "cluster_statistics",
        sender=edge,
        receiver="cloud",
        values={
            "devices": [message.sender for message in attributes],
            "storage_limit": min(v["storage_limit"] for v in values),
            "gpu_capacity_watt": [v["gpu_capacity_watt"] for v in values],
            "base_latency_s": [v["base_latency_s"] for v in values],
        },
    )


@task(task_run_name="{edge}: features of the shared set", **CACHED)
def embed_shared(
    edge: str,
    backbone: Message,
    shared: list[Message],
    info: DataInfo,
    machine: Machine,
    code: str,
) -> Ref:
    """Features of the consented samples under the cluster's backbone, computed once."""
    vit = _backbone(backbone).to(machine.prepare())
    tensors: dict[str, Tensor] = {}
    for split in ("train", "val"):
        images, tensors[f"{split}_labels"] = _samples(shared, split, info)
        tensors[f"{split}_features"] = extract(vit, images)
    return put_tensors(FOLDER, f"shared-{edge}", tensors)


@task(task_run_name="{edge}: search the header", **CACHED)
def search_header(
    edge: str,
    backbone: Message,
    public: Message | None,
    shared: Ref,
    storage_limit: int,
    recipe: settings.Edge,
    seed: int,
    machine: Machine,
    code: str,
) -> Search:
    """The header that suits the backbone (Sec. III-C), within what the smallest device has left."""
    machine.prepare()
    state, values = receive(backbone)
    config = BackboneConfig.from_dict(values["config"])
    own, extra = read_tensors(shared)[0], receive(public)[0] if public else {}
    budget = storage_limit - backbone_parameters(config)
    cls_head = (state["head.weight"], state["head.bias"])
    search = header_search(config, recipe, budget, cls_head, seed)
    val = Split(own["val_features"], own["val_labels"])
    support = _public(extra, "val_") if extra else None
    train = Split(own["train_features"], own["train_labels"])
    with progress(f"{edge}: searching the header") as on_step:
        result = search.run(
            train.join(_public(extra, "") if extra else None), val, support, recipe.fixed, on_step
        )
    return Search(
        edge=edge,
        winner=result.winner,
        headers=tuple(_header(edge, trained) for trained in result.trained),
        sampled=tuple(_row(sampled) for sampled in result.sampled),
        search_space=search.space.size(),
        budget_parameters=budget,
    )


@task(task_run_name="{search.edge}: settle backbone and header", **CACHED)
def settle(
    search: Search,
    backbone: Message,
    shared: list[Message],
    info: DataInfo,
    recipe: settings.Edge,
    seed: int,
    machine: Machine,
    code: str,
) -> Coarse:
    """The winner with its backbone, frozen or (``unfreeze_steps``) trained together on the shared
    train samples as the paper has it. The joint result is kept if it is not worse on the shared
    validation samples."""
    place, winner = machine.prepare(), search.headers[search.winner]
    state, values = receive(backbone)
    frozen = Coarse(
        search.edge,
        put_tensors(FOLDER, f"backbone-{search.edge}", state, values["config"]),
        winner.state,
    )
    if recipe.unfreeze_steps == 0:
        return frozen
    vit = _backbone(backbone).to(place)
    header = restore_header(HeaderConfig.from_dict(winner.config), read_tensors(winner.state)[0])
    images = {split: _samples(shared, split, info) for split in ("train", "val")}
    with progress(f"{search.edge}: training backbone and header together") as on_step:
        train_jointly(
            vit,
            header,
            *images["train"],
            steps=recipe.unfreeze_steps,
            batch_size=recipe.batch_size,
            lr=recipe.unfreeze_lr,
            generator=torch.Generator().manual_seed(seed),
            on_step=on_step,
        )
    header.cpu()
    features = extract(vit, images["val"][0])
    if evaluate(header, Split(features, images["val"][1]))[1] < winner.val_accuracy:
        return frozen
    return Coarse(
        search.edge,
        put_tensors(FOLDER, f"tuned-{search.edge}", vit.state_dict(), values["config"]),
        put_tensors(FOLDER, f"tuned-header-{search.edge}", header.state_dict(), winner.config),
    )


@task(task_run_name="{coarse.edge}: send the model to {device}", **CACHED)
def send_model(coarse: Coarse, device: str, shared: Ref, code: str) -> Message:
    """The cluster's backbone and header go down, with the scale of its features on shared data:
    every device standardises its sketch in the same way."""
    weights, backbone = read_tensors(coarse.backbone)
    state, header = read_tensors(coarse.header)
    tokens = read_tensors(shared)[0]["train_features"][:, 0, 0]
    tensors = {f"backbone.{k}": v for k, v in weights.items()}
    tensors |= {f"header.{k}": v for k, v in state.items()}
    tensors |= {"scale.mean": tokens.mean(0), "scale.std": tokens.std(0) + 1e-6}
    configs = {"backbone": backbone, "header": header}
    return send(
        "customized_model",
        sender=coarse.edge,
        receiver=device,
        tensors=tensors,
        values={"config": configs},
    )


@task(task_run_name="{edge}: compare the devices", **CACHED)
def compare(edge: str, sketches: list[Message], recipe: settings.Refinement, code: str) -> Mixing:
    """Similarity of the devices' data (Eq. 19) and who listens to whom (Eq. 20).

    A device whose sketch is malformed listens to itself alone, and nobody to it.
    """
    samples = [receive(sketch)[0]["features"].float().numpy() for sketch in sketches]
    width = statistics.mode(sample.shape[-1] for sample in samples)
    usable = [i for i, s in enumerate(samples) if similarity.check_sample(s, width) is None]
    distances, weights = np.zeros((len(samples),) * 2), np.eye(len(samples))
    if usable:
        among = np.ix_(usable, usable)
        distances[among], weights[among] = aggregation.mixing_weights(
            recipe.method,
            [samples[i] for i in usable],
            temperature=recipe.temperature,
            debias=recipe.debias,
        )
    return Mixing(edge, tuple(s.sender for s in sketches), _rows(distances), _rows(weights))


@task(task_run_name="{edge}, round {round}: mix importance sets", **RETRIED)
def mix(
    edge: str,
    round: int,
    sets: list[Message],
    neurons: int,
    mixing: Mixing,
    quorum: float,
) -> Mixed:
    """Eq. 21 over the devices that sent a well-formed set; the others are left out and named.

    Raises:
        LinkError: fewer devices than the quorum sent a usable set.
    """
    usable: dict[str, np.ndarray] = {}
    left_out = {device: "sent nothing" for device in mixing.devices}
    for message in sets:
        values, reason = _read_set(message, neurons)
        if reason is None and values is not None:
            usable[message.sender] = values
            left_out.pop(message.sender, None)
        else:
            left_out[message.sender] = str(reason)
    if len(usable) < quorum * len(mixing.devices):
        raise LinkError(
            f"{edge}, round {round}: {len(usable)} of {len(mixing.devices)} devices sent a usable "
            f"importance set, quorum is {quorum:.0%}. Left out: {left_out}"
        )
    present = [i for i, device in enumerate(mixing.devices) if device in usable]
    weights = aggregation.restrict(np.array(mixing.weights), present)
    mixed = aggregation.aggregate(np.stack([usable[mixing.devices[i]] for i in present]), weights)
    messages = tuple(
        send(
            "mixed_importance",
            sender=edge,
            receiver=mixing.devices[i],
            round=round,
            tensors={"importance": torch.from_numpy(row).float()},
        )
        for i, row in zip(present, mixed, strict=True)
    )
    return Mixed(messages, left_out)


def _read_set(message: Message, neurons: int) -> tuple[np.ndarray | None, str | None]:
    try:
        values = receive(message)[0]["importance"].numpy()
    except (LinkError, KeyError) as error:
        return None, str(error)
    return values, aggregation.check_set(values, neurons)


def _backbone(message: Message) -> ViT:
    state, values = receive(message)
    return restore(BackboneConfig.from_dict(values["config"]), state)


def _samples(shared: list[Message], split: str, info: DataInfo) -> tuple[Tensor, Tensor]:
    """All consented samples of a split: standardised images and labels."""
    images, labels = [], []
    for message in shared:
        tensors, values = receive(message)
        cut = values["train_count"]
        part = slice(None, cut) if split == "train" else slice(cut, None)
        images.append(standardise(tensors["images"][part], info.mean, info.std))
        labels.append(tensors["labels"][part].long())
    return torch.cat(images), torch.cat(labels)


def _public(tensors: dict[str, Tensor], prefix: str) -> Split:
    return Split(tensors[f"{prefix}features"].float(), tensors[f"{prefix}labels"].long())


def _header(edge: str, trained: TrainedHeader) -> Header:
    config = trained.config.to_dict()
    return Header(
        name=trained.name,
        kind=trained.config.kind,
        config=config,
        state=put_tensors(FOLDER, f"{edge}-{trained.name}", trained.state, config),
        parameters=trained.parameters,
        flops=trained.flops,
        val_loss=trained.val_loss,
        val_accuracy=trained.val_accuracy,
    )


def _row(sampled: SampledHeader) -> dict[str, object]:
    return {**asdict(sampled), "architecture": describe(sampled.architecture)}


def _rows(matrix: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(x) for x in row) for row in matrix)
