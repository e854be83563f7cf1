"""How a device's header does after a round, by its own validation split."""

from __future__ import annotations

from torch import nn

from models.answers import answered
from models.header.build import slim, state_of
from models.header.config import HeaderConfig
from models.refinement import pruning
from models.refinement.training import DeviceData, evaluate_devices
from tasks.device.own import Own
from tasks.links.link import Message, send
from tasks.links.records import State
from tasks.run.store import Ref, put_tensors, read_tensors


def scored(own: Own, round: int, header: nn.Module, config: HeaderConfig, features: Ref) -> State:
    """A header after a round, with its scores on the device's val split, as it will be used."""
    train = split_of(features, "train")
    told = answered(own.answers, train.labels, train.wanted)
    [(loss, accuracy)] = evaluate_devices([header], [split_of(features, "val")], [told])
    alive = pruning.alive_of(header)
    shipped = slim(header, config)
    return State(
        device=own.device,
        round=round,
        header=put_tensors("header", state_of(header), config.to_dict()),
        parameters=sum(p.numel() for p in shipped.parameters()),
        neurons=int(alive.sum()),
        neurons_received=len(alive),
        val_loss=loss,
        val_accuracy=accuracy,
    )


def metrics(own: Own) -> Message:
    """How well the header does, and how large it is, go up: by this the edge ends the loop."""
    _, _, state = own.adopted
    values = {
        "val_loss": state.val_loss,
        "val_accuracy": state.val_accuracy,
        "parameters": state.parameters,
    }
    return send("metrics", own.up(state.round), values=values)


def split_of(features: Ref, split: str) -> DeviceData:
    """The features and labels of a split."""
    return DeviceData.read(read_tensors(features)[0], f"{split}_")
