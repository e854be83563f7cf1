"""A device's side of Alg. 2: it trains its header, says what the exchange asks for, applies what
comes back, prunes, and tunes what is left.

Devices of a cluster share one header architecture, so that one batched step can train them all; who
carries the questions may therefore ask several devices at once. Each still reads its own data,
keeps its own weights, draws from its own seed, and sends its own messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from models.header.build import state_of
from models.refinement import pruning
from models.refinement.exchange import DeviceState
from models.refinement.exchanges import EXCHANGES
from models.refinement.recipe import Pruning
from models.refinement.training import LocalSteps, fit_devices
from tasks.device.own import Answer, Own
from tasks.device.scores import metrics, scored, split_of
from tasks.links.link import Message, Route, receive, send
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
    headers = [header for header, _ in loaded]
    sets = _fit("training", headers, owns, turn, steps, machine)
    for own, (header, config), importance in zip(owns, loaded, sets, strict=True):
        state = scored(own, turn.round, header, config, own.adopted[1])
        state = replace(state, importance=put_tensors("importance", {"importance": importance}))
        body = exchange.prepare(DeviceState(header, importance))
        sent = (send(exchange.up.kind, own.up(turn.round), body),) if exchange.up else ()
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
    pruned = [_pruned(own, body, turn, amount) for own, body in zip(owns, bodies, strict=True)]
    loaded = [load_header(ref) for ref in pruned]
    headers = [header for header, _ in loaded]
    _fit("tuning", headers, owns, replace(turn, seed=turn.seed + TUNING), steps, machine)
    answers = []
    for own, (header, config), before in zip(owns, loaded, pruned, strict=True):
        state = scored(own, turn.round, header, config, own.adopted[1])
        after = replace(own, state=replace(state, pruned=before))
        answers.append(Answer(after, (metrics(after),)))
    return answers


def _pruned(own: Own, body: Message | None, turn: Turn, amount: Pruning) -> Ref:
    """A device's header after the exchange and without the neurons that it discards."""
    state = own.adopted[2]
    if state.importance is None:
        raise ValueError(f"{own.device} has no importance set in round {turn.round}")
    header, config = load_header(state.header)
    importance = read_tensors(state.importance)[0]["importance"]
    exchange, received = EXCHANGES[turn.exchange], None
    if body and exchange.down:
        route = Route(own.edge, own.device, turn.round, own.run)
        received = receive(body, exchange.down.kind, route)[0]
    after = exchange.apply(DeviceState(header, importance), received)
    if after.ranking is not None:
        pruning.prune(after.header, after.ranking.numpy(), amount)
    return put_tensors("header", state_of(after.header), config.to_dict())


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
    data = [split_of(own.adopted[1], "train") for own in owns]
    seeds = [turn.seed_of(own) for own in owns]
    moved = [header.to(place) for header in headers]
    with progress(f"{turn.edge} devices, round {turn.round}: {what}") as on_step:
        sets = fit_devices(moved, data, steps, seeds, on_step=on_step)
    for header in headers:
        header.cpu()
    return sets
