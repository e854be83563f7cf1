"""What a device sends of its data, and its data's features, which it keeps."""

from __future__ import annotations

import torch
from torch import Tensor

from models.backbone.config import config_from, restore
from models.backbone.features import extract
from tasks.data.modality import DataInfo
from tasks.data.samples import read_split
from tasks.links.link import Message, receive, send
from tasks.run.compute import Machine
from tasks.run.store import Ref, put_tensors, read_tensors


def send_shared(edge: str, device: str, samples: Ref) -> Message:
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


def embed(device: str, model: Message, samples: Ref, info: DataInfo, machine: Machine) -> Ref:
    """Features of the device's train and val splits under the frozen backbone, computed once."""
    state, values = receive(model)
    config = config_from(values["config"]["backbone"])
    vit = restore(config, part_of(state, "backbone")).to(machine.prepare())
    tensors: dict[str, Tensor] = {}
    for split in ("train", "val"):
        images, labels = read_split(samples, split, info)
        tensors[f"{split}_features"] = extract(vit, images, 256)
        tensors[f"{split}_labels"] = labels
    return put_tensors("features", tensors)


def send_sketch(
    edge: str, device: str, model: Message, features: Ref, samples: int, seed: int
) -> Message:
    """A few standardised [CLS] features of train samples go up, in half precision (Eq. 19)."""
    state, _ = receive(model)
    tokens = read_tensors(features)[0]["train_features"][:, 0, 0]
    chosen = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(seed))[:samples]
    sketch = (tokens[chosen] - state["scale.mean"]) / state["scale.std"]
    return send("feature_sketch", sender=device, receiver=edge, tensors={"features": sketch.half()})


def part_of(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors of one of the parts that a message carries together."""
    prefix = f"{name}."
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
