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
from models.refinement.exchange import Body, DeviceState, Exchange
from models.refinement.exchanges import EXCHANGES
from models.refinement.expected import PAYS, expected_gain
from models.refinement.noise import noised
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
NOISE = 600
"""And of noise on what is sent."""


@dataclass(frozen=True)
class Turn:
    """A round of one edge's loop: by which exchange, and the seed that each device's own is made
    of."""

    edge: str
    round: int
    exchange: str
    seed: int

    @property
    def how(self) -> Exchange:
        """The exchange."""
        return EXCHANGES[self.exchange]

    @property
    def words(self) -> str:
        """Whose round it is, for a person."""
        return f"{self.edge} devices{'' if self.how.up else ' alone'}, round {self.round}"

    def seed_of(self, own: Own) -> int:
        """A device's own, by its id: it is the same whoever takes part."""
        return self.seed + 1000 * self.round + own.id


@dataclass(frozen=True)
class Work:
    """What a device does in a round: it trains, discards so many neurons, and tunes."""

    train: LocalSteps
    tune: LocalSteps
    pruning: Pruning


@dataclass(frozen=True)
class Speech:
    """How a device speaks: where it ``asks_first`` it says nothing if it expects too little of
    that, and what it says has so much ``noise`` (:func:`models.refinement.noise.noised`)."""

    asks_first: bool = False
    noise: float = 0.0


def train(
    owns: list[Own], turn: Turn, work: Work, speech: Speech, machine: Machine
) -> list[Answer]:
    """Every device trains its header locally and accumulates its importance set (Eq. 16-18); what
    the exchange prepares of that goes up."""
    trained = train_headers(owns, turn, work.train, machine)
    expecting = [_expecting(own, turn, speech.asks_first) for own in trained]
    return [_sent(own, turn, speech.noise) for own in expecting]


def _expecting(own: Own, turn: Turn, asks_first: bool) -> Own:
    """What a device expects before it says anything, and whether that is worth it."""
    if turn.how.up is None or own.predicted is not None:
        return own
    gain = expected_gain(split_of(own.adopted[1], "train"))
    return replace(own, predicted=gain, silent=asks_first and gain < PAYS)


def train_headers(owns: list[Own], turn: Turn, steps: LocalSteps, machine: Machine) -> list[Own]:
    """What devices have after a round's local steps."""
    loaded = [load_header(own.adopted[2].header) for own in owns]
    sets = fit("training", [header for header, _ in loaded], owns, turn, steps, machine)
    found = []
    for own, (header, config), importance in zip(owns, loaded, sets, strict=True):
        state = scored(own, turn.round, header, config, own.adopted[1])
        put = put_tensors("importance", {"importance": importance})
        found.append(replace(own, state=replace(state, importance=put, kept=own.adopted[2].kept)))
    return found


def _sent(own: Own, turn: Turn, noise: float) -> Answer:
    """What the exchange prepares of a device's state, on its way up, with the ``noise`` that its
    owner asks for."""
    if turn.how.up is None or own.silent or not turn.how.says_something(turn.round):
        return Answer(own, ())
    body, kept = turn.how.prepare(_state_of(own))
    body = noised(body, noise, torch.Generator().manual_seed(turn.seed_of(own) + NOISE))
    message = send(turn.how.up.kind, own.up(turn.round), body)
    state = own.adopted[2]
    return Answer(replace(own, state=replace(state, kept=_keeping(state.kept, kept))), (message,))


def prune(
    owns: list[Own],
    bodies: list[Message | None],
    turn: Turn,
    work: Work,
    machine: Machine,
) -> list[Answer]:
    """Every device applies what came back, discards its least important neurons if that says by
    what to rank them, and tunes what is left."""
    applied = [
        _applied(own, turn.how.apply(_state_of(own), _came(own, body, turn)), work.pruning)
        for own, body in zip(owns, bodies, strict=True)
    ]
    tuned = tune_headers(applied, turn, work.tune, machine)
    return [Answer(own, (metrics(own),)) for own in tuned]


def tune_headers(owns: list[Own], turn: Turn, steps: LocalSteps, machine: Machine) -> list[Own]:
    """What devices have at a round's end, tuned where the exchange lets them."""
    loaded = [load_header(own.adopted[2].header) for own in owns]
    if turn.how.tunes:
        headers, tuning = [header for header, _ in loaded], replace(turn, seed=turn.seed + TUNING)
        fit("tuning", headers, owns, tuning, steps, machine)
    found = []
    for own, (header, config) in zip(owns, loaded, strict=True):
        before = own.adopted[2]
        state = scored(own, turn.round, header, config, own.adopted[1])
        now = replace(
            state,
            pruned=before.header,
            importance=before.importance,
            kept=before.kept,
            way="peers" if turn.how.up else "alone",
        )
        found.append(own.after(now))
    return found


def _came(own: Own, body: Message | None, turn: Turn) -> Body | None:
    if body is None or turn.how.down is None:
        return None
    route = Route(own.edge, own.device, turn.round, own.run)
    return receive(body, turn.how.down.kind, route)[0]


def _applied(own: Own, after: DeviceState, amount: Pruning) -> Own:
    """A device after the exchange, and without the neurons that it discards."""
    if after.ranking is not None:
        pruning.prune(after.header, after.ranking.numpy(), amount)
    state, config = own.adopted[2], load_header(own.adopted[2].header)[1]
    ref = put_tensors("header", state_of(after.header), config.to_dict())
    return replace(own, state=replace(state, header=ref, kept=_keeping(state.kept, after.kept)))


def _state_of(own: Own) -> DeviceState:
    model, features, state = own.adopted
    if state.importance is None:
        raise ValueError(f"{own.device} has no importance set in round {state.round}")
    return DeviceState(
        load_header(state.header)[0],
        read_tensors(state.importance)[0]["importance"],
        received_of(model),
        split_of(features, "train"),
        kept_of(state),
    )


def kept_of(state: State) -> Body:
    """What a device's exchange kept of earlier rounds."""
    return read_tensors(state.kept)[0] if state.kept else {}


def _keeping(before: Ref | None, now: Body) -> Ref | None:
    """What an exchange keeps from now on: of each name the newest."""
    return (
        put_tensors("kept", {**(read_tensors(before)[0] if before else {}), **now})
        if now
        else before
    )


def fit(
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
    with progress(f"{turn.words}: {what}") as on_step:
        sets = fit_devices(moved, data, steps, seeds, on_step=on_step)
    for header in headers:
        header.cpu()
    return sets


def _learned_from(own: Own, turn: Turn, seed: int) -> DeviceData:
    """A device's train samples, and beside them what its exchange makes of what came."""
    data = split_of(own.adopted[1], "train")
    return data.join(virtual(own, turn, data, seed))


def virtual(own: Own, turn: Turn, data: DeviceData, seed: int) -> DeviceData | None:
    """What a device's exchange makes of what came from peers: samples beside its own ``data``."""
    model, _, state = own.adopted
    if turn.how.beside is None or state.kept is None:
        return None
    basis, stream = received_of(model).basis, torch.Generator().manual_seed(seed)
    return None if basis is None else turn.how.beside(kept_of(state), basis, data, stream)
