"""What went down to the devices of a cluster, as both ends of the link read it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from models.header.build import neurons, restore
from models.header.config import HeaderConfig
from models.refinement.basis import Basis
from models.refinement.exchange import Received
from tasks.links.ends import DEVICE
from tasks.links.link import Message, receive

MODEL = "customized_model"
BASIS = "basis."


def received_of(model: Message) -> Received:
    """What an exchange needs of the model that all devices of a cluster received. Raises LinkError
    if it cannot be read."""
    return _read(replace(model, receiver=f"{DEVICE}any"))  # whoever it went to, it is the same


@lru_cache(maxsize=8)  # every step of every device asks, and would read a whole model for it
def _read(model: Message) -> Received:
    tensors, values = receive(model, MODEL)
    prefix, config = "header.", HeaderConfig.from_dict(values["config"]["header"])
    state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    header = restore(config, state)
    return Received(
        {name: part.detach() for name, part in header.named_parameters()},
        sum(neurons(header).values()),
        config.classes,
        Basis.read(tensors, BASIS) if any(k.startswith(BASIS) for k in tensors) else None,
    )
