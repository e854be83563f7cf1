"""A device's side of Alg. 2: it trains its header, says what the exchange asks for, applies what
comes back, prunes, and tunes what is left.

Devices of a cluster share one header architecture, so that one batched step can train them all; who
carries the questions may therefore ask several devices at once. Each still reads its own data,
keeps its own weights, draws from its own seed, and sends its own messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from models.header.build import state_of
from models.refinement import pruning
from models.refinement.exchange import Body, DeviceState
from models.refinement.exchanges import EXCHANGES
from models.refinement.recipe import Pruning
from models.refinement.training import DeviceData, LocalSteps, fit_devices
from tasks.device.own import Answer, Own
from tasks.device.scores import metrics, scored, split_of
from tasks.links.link import Message, Route, receive, send
from tasks.links.records import State
from tasks.links.sent import received_of
from tasks.run.compute import Machine
from tasks.run.modules import load_header
from tasks.run.progress import progress
from tasks.run.store import Ref, put_tensors, read_tensors

TUNING = 500
"""Apart from the seeds of a round's training are those of its tuning."""


@dataclass(frozen=True)
class Turn:
    """A round of one edge's loop: by which exchange, and the seed that each device's own is made
    of."""

    edge: str
    round: int
    exchange: str
    seed: int

    def seed_of(self, own: Own) -> int:
        """A device's own, by its id: it is the same whoever takes part."""
        return self.seed + 1000 * self.round + own.id


def train(owns: list[Own], turn: Turn, steps: LocalSteps, machine: Machine) -> list[Answer]:
    """Every device trains its header locally and accumulates its importance set (Eq. 16-18); what
    the exchange prepares of that goes up."""
    exchange, answers = EXCHANGES[turn.exchange], []
    loaded = [load_header(own.adopted[2].header) for own in owns]
    sets = _fit("training", [header for header, _ in loaded], owns, turn, steps, machine)
    for own, (header, config), importance in zip(owns, loaded, sets, strict=True):
        state = scored(own, turn.round, header, config, own.adopted[1])
        state = replace(
            state,
            importance=put_tensors("importance", {"importance": importance}),
            kept=own.adopted[2].kept,
        )
        sent: tuple[Message, ...] = ()
        if exchange.up and exchange.says_something(turn.round):
            body, kept = exchange.prepare(_state_of(own, header, importance))
            sent = (send(exchange.up.kind, own.up(turn.round), body),)
            state = replace(state, kept=_keeping(state.kept, kept))
        answers.append(Answer(replace(own, state=state), sent))
    return answers


def prune(
    owns: list[Own],
    bodies: list[Message | None],
    turn: Turn,
    amount: Pruning,
    steps: LocalSteps,
    machine: Machine,
) -> list[Answer]:
    """Every device applies what came back, discards its least important neurons, and tunes what is
    left. One that is not told what to rank by keeps its neurons this round."""
    applied = [_applied(own, body, turn, amount) for own, body in zip(owns, bodies, strict=True)]
    loaded = [load_header(state.header) for state in applied]
    if EXCHANGES[turn.exchange].tunes:
        owns = [replace(own, state=after) for own, after in zip(owns, applied, strict=True)]
        headers, tuning = [header for header, _ in loaded], replace(turn, seed=turn.seed + TUNING)
        _fit("tuning", headers, owns, tuning, steps, machine)
    answers = []
    for own, (header, config), before in zip(owns, loaded, applied, strict=True):
        state = scored(own, turn.round, header, config, own.adopted[1])
        after = replace(own, state=replace(state, pruned=before.header, kept=before.kept))
        answers.append(Answer(after, (metrics(after),)))
    return answers


def _applied(own: Own, body: Message | None, turn: Turn, amount: Pruning) -> State:
    """A device's header after the exchange and without the neurons that it discards."""
    state = own.adopted[2]
    if state.importance is None:
        raise ValueError(f"{own.device} has no importance set in round {turn.round}")
    header, config = load_header(state.header)
    importance = read_tensors(state.importance)[0]["importance"]
    exchange, came = EXCHANGES[turn.exchange], None
    if body and exchange.down:
        route = Route(own.edge, own.device, turn.round, own.run)
        came = receive(body, exchange.down.kind, route)[0]
    after = exchange.apply(_state_of(own, header, importance), came)
    if after.ranking is not None:
        pruning.prune(after.header, after.ranking.numpy(), amount)
    ref = put_tensors("header", state_of(after.header), config.to_dict())
    return replace(state, header=ref, kept=_keeping(state.kept, after.kept))


def _state_of(own: Own, header: nn.Module, importance: Tensor) -> DeviceState:
    model, features, state = own.adopted
    return DeviceState(
        header,
        importance,
        received_of(model),
        split_of(features, "train"),
        _read(state.kept),
    )


def _read(kept: Ref | None) -> Body:
    return read_tensors(kept)[0] if kept else {}


def _keeping(before: Ref | None, now: Body) -> Ref | None:
    """What an exchange keeps from now on: of each name the newest."""
    return put_tensors("kept", {**_read(before), **now}) if now else before


def _fit(
    what: str,
    headers: Sequence[nn.Module],
    owns: Sequence[Own],
    turn: Turn,
    steps: LocalSteps,
    machine: Machine,
) -> Tensor:
    """A turn of local steps, in place; the devices' importance sets ``(devices, neurons)``."""
    place = machine.prepare()
    seeds = [turn.seed_of(own) for own in owns]
    data = [_learned_from(own, turn, seed) for own, seed in zip(owns, seeds, strict=True)]
    moved = [header.to(place) for header in headers]
    with progress(f"{turn.edge} devices, round {turn.round}: {what}") as on_step:
        sets = fit_devices(moved, data, steps, seeds, on_step=on_step)
    for header in headers:
        header.cpu()
    return sets


def _learned_from(own: Own, turn: Turn, seed: int) -> DeviceData:
    """A device's train samples, and beside them what its exchange makes of what came."""
    model, features, state = own.adopted
    data, beside = split_of(features, "train"), EXCHANGES[turn.exchange].beside
    kept, basis = _read(state.kept), received_of(model).basis
    if beside is None or not kept or basis is None:
        return data
    return data.join(beside(kept, basis, data, torch.Generator().manual_seed(seed)))
