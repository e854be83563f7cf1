"""What a device sends of its data, and its data's features, which it keeps."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from models.backbone.config import config_from
from models.backbone.config import restore as restore_backbone
from models.backbone.features import extract
from models.header.build import restore
from models.header.config import HeaderConfig
from models.header.kinds import seen_by
from models.header.split import Split
from models.refinement.noise import noised
from models.refinement.recipe import Sketching
from models.refinement.sketches import SKETCHES
from tasks.data.modality import DataInfo
from tasks.data.samples import classes_of, read_split
from tasks.device.own import Answer, Own
from tasks.device.scores import metrics, scored
from tasks.links.link import Message, Route, leave_out, receive, send
from tasks.links.sent import MODEL
from tasks.run.compute import Machine
from tasks.run.store import put_tensors, read_tensors


def share(own: Own, info: DataInfo) -> Answer:
    """The samples that the device's owner agreed to share go up, if there are any; train before
    validation."""
    tensors, _ = read_tensors(own.data)
    index = torch.cat([tensors["shared_train"], tensors["shared_val"]])
    if not len(index):
        return Answer(own, ())
    message = send(
        "shared_samples",
        own.up(),
        {
            info.raw: tensors[f"train_{info.raw}"][index],
            "labels": tensors["train_labels"][index].to(torch.int16),
        },
        {"train_count": len(tensors["shared_train"])},
    )
    return Answer(own, (message,))


def adopt(own: Own, model: Message, info: DataInfo, machine: Machine) -> Answer:
    """The model is received: features of the train and val splits under its frozen backbone are
    computed once, and its header is scored as it came (round 0)."""
    state, values = receive(model, MODEL, Route(own.edge, own.device))
    backbone = config_from(values["config"]["backbone"])
    vit = restore_backbone(backbone, _part(state, "backbone")).to(machine.prepare())
    config = HeaderConfig.from_dict(values["config"]["header"])
    tensors: dict[str, Tensor] = {}
    wanted = {"train": classes_of(own.data).wanted}
    for split in ("train", "val"):
        images, labels = read_split(own.data, split, info)
        found = seen_by(config, Split.of(extract(vit, images), labels, wanted.get(split)))
        tensors |= found.named(f"{split}_")
    features = put_tensors("features", tensors)
    first = scored(own, 0, restore(config, _part(state, "header")), config, features)
    own = replace(own, model=model, features=features, rounds=()).after(first)
    return Answer(own, (metrics(own),))


def sketch(own: Own, how: Sketching, seed: int) -> Answer:
    """A sketch of the standardised [CLS] features of its train samples goes up, in half precision
    (Eq. 19); nothing, and it says so, where they are too few for one that shows none of them."""
    model, features, _ = own.adopted
    state, _ = receive(model, MODEL, Route(own.edge, own.device))
    tokens = read_tensors(features)[0]["train_features"][:, 0, 0]
    values = (tokens - state["scale.mean"]) / state["scale.std"]
    stream = torch.Generator().manual_seed(seed)
    points = SKETCHES[how.sketch].make(values, how.sketch_samples, stream)
    if points is None:
        leave_out(own.edge, own.device, f"its {len(values)} train samples are too few for a sketch")
        return Answer(own, ())
    body = noised({"features": points.half()}, how.noise, stream)
    return Answer(own, (send("feature_sketch", own.up(), body),))


def _part(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors of one of the parts that a message carries together."""
    prefix = f"{name}."
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
