"""A device's side of Alg. 2: it receives a header, trains it, and says what is important.

Devices of a cluster share one header architecture, so that one batched step can train them all;
each still reads its own data, keeps its own weights, and sends its own messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from models.header.build import HeaderConfig, restore, slim, state_of
from models.refinement import pruning, training
from models.refinement.recipe import LocalTraining
from tasks.device.features import part_of
from tasks.links.link import Message, receive, send
from tasks.links.records import State
from tasks.run.compute import Machine
from tasks.run.modules import load_header
from tasks.run.progress import progress
from tasks.run.store import Ref, put_tensors, read_tensors

TUNING = 500
"""Apart from the seeds of a round's training are those of its tuning."""


@dataclass(frozen=True)
class Turn:
    """Local steps of a cluster's devices: in which round, how many, from which seed."""

    edge: str
    round: int
    steps: int
    seed: int


def receive_model(device: str, model: Message, features: Ref, machine: Machine) -> State:
    """Round 0: the header as the edge sent it, scored on the device's val split."""
    machine.prepare()
    state, values = receive(model)
    config = HeaderConfig.from_dict(values["config"]["header"])
    return scored(device, 0, restore(config, part_of(state, "header")), config, features)


def train(
    turn: Turn,
    states: list[State],
    features: list[Ref],
    recipe: LocalTraining,
    joint: str,
    machine: Machine,
) -> list[State]:
    """Every device trains its header locally and accumulates its importance set (Eq. 16-18);
    ``joint`` says how a neuron's is made of its parameters'."""
    headers, configs, sets = fit("training", turn, states, features, recipe, machine, joint)
    return [
        scored(
            s.device,
            turn.round,
            header,
            config,
            feature,
            put_tensors("importance", {"importance": values}),
        )
        for s, header, config, feature, values in zip(
            states, headers, configs, features, sets, strict=True
        )
    ]


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


def fit(
    what: str,
    turn: Turn,
    states: Sequence[State],
    features: Sequence[Ref],
    recipe: LocalTraining,
    machine: Machine,
    joint: str = "group",
) -> tuple[list[nn.Module], list[HeaderConfig], Tensor]:
    """The devices' headers after a turn of local steps, with their importance sets."""
    place = machine.prepare()
    loaded = [load_header(s.header) for s in states]
    headers = [header.to(place) for header, _ in loaded]
    data = [_data(f, "train") for f in features]
    with progress(f"{turn.edge} devices, round {turn.round}: {what}") as on_step:
        sets = training.fit_devices(
            headers,
            data,
            training.LocalSteps(turn.steps, recipe, joint),
            [turn.seed + 1000 * turn.round + i for i in range(len(states))],
            on_step=on_step,
        )
    return [h.cpu() for h in headers], [c for _, c in loaded], sets


def scored(
    device: str,
    round: int,
    header: nn.Module,
    config: HeaderConfig,
    features: Ref,
    importance: Ref | None = None,
) -> State:
    """A header after a round, with its scores on the device's val split."""
    [(loss, accuracy)] = training.evaluate_devices([header], [_data(features, "val")])
    alive = pruning.alive_of(header)
    shipped = slim(header, config)
    return State(
        device=device,
        round=round,
        header=put_tensors("header", state_of(header), config.to_dict()),
        importance=importance,
        parameters=sum(p.numel() for p in shipped.parameters()),
        neurons=int(alive.sum()),
        neurons_received=len(alive),
        val_loss=loss,
        val_accuracy=accuracy,
    )


def _data(features: Ref, split: str) -> training.DeviceData:
    tensors, _ = read_tensors(features)
    return training.DeviceData(tensors[f"{split}_features"], tensors[f"{split}_labels"])
