"""The devices of an edge on this machine: their plain functions as Prefect tasks, and the carrier
of questions to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from flows.job import Job
from models.refinement.training import LocalSteps
from tasks.data import drift
from tasks.device import attributes, choice, drifted, features, rounds
from tasks.device.own import Answer, Own
from tasks.device.rounds import Speech, Turn, Work
from tasks.links.asking import Ask, Reply
from tasks.links.link import Message
from tasks.links.records import State
from tasks.run.cached import cached, retried
from tasks.run.step import try_steps
from tasks.settings.params import LocalTraining, Pruning, Sketching

describe_data = retried("{device}: remember its data")(drifted.describe)
check_data = retried("{then.device}: check its data for drift")(drift.check)
say_attributes = retried("{device.name}: send attributes")(attributes.attributes)
share = cached("{own.device}: send the shared samples")(features.share)
adopt = cached("{own.device}: receive the model, compute features")(features.adopt)
sketch = cached("{own.device}: send a feature sketch")(features.sketch)
train = cached("{turn.words}: train")(rounds.train)
prune = cached("{turn.words}: prune and tune")(rounds.prune)
finish = cached("{turn.words}, the last: choose what ships")(choice.finish)

ALONE = "none"
"""The exchange of who tells nobody anything."""
Outcome = Answer | Exception


class LocalCarrier:
    """Devices whose data lie on this machine; ``owns`` is what each has, by name."""

    def __init__(self, job: Job, owns: Iterable[Own]) -> None:
        self.job = job
        self.owns = {own.device: own for own in owns}

    def ask(self, asks: Sequence[Ask], deadline_s: float | None) -> list[Reply]:
        """See :class:`tasks.links.asking.Carrier`. Devices of one cluster work at once, so that
        one that is late makes all late; what a late device did is forgotten."""
        start = time.monotonic()
        outcomes = HOW[asks[0].kind](self, asks)
        seconds = time.monotonic() - start
        if deadline_s is not None and seconds > deadline_s:
            return [f"answered after {seconds:.0f} s, the deadline is {deadline_s:g} s"] * len(asks)
        return [self._kept(ask, outcome) for ask, outcome in zip(asks, outcomes, strict=True)]

    def _kept(self, ask: Ask, outcome: Outcome) -> Reply:
        if isinstance(outcome, Exception):
            return str(outcome) or type(outcome).__name__
        self.owns[ask.device] = outcome.own
        return outcome.messages

    def of(self, asks: Sequence[Ask]) -> list[Own]:
        """What the devices that are asked have."""
        return [self.owns[ask.device] for ask in asks]

    def turn(self, ask: Ask) -> Turn:
        """The round that a question belongs to."""
        recipe, edge = self.job.settings.refinement, self.owns[ask.device].edge
        return Turn(edge, ask.key.round, recipe.exchange, self.job.settings.seed)

    @property
    def rounds(self) -> dict[str, list[State]]:
        """What became of each device's header, by name: as received, and after every round."""
        return {name: list(own.rounds) for name, own in self.owns.items()}

    @property
    def work(self) -> Work:
        """What devices do in a round."""
        recipe = self.job.settings.refinement
        training = recipe.part(LocalTraining)
        return Work(
            LocalSteps(recipe.steps, training, recipe.joint, recipe.answers),
            LocalSteps(recipe.tuning_steps, training, answers=recipe.answers),
            recipe.part(Pruning),
        )

    @property
    def speech(self) -> Speech:
        """How devices speak."""
        recipe = self.job.settings.refinement
        return Speech(recipe.ask_first, recipe.noise)


def _attributes(carrier: LocalCarrier, asks: Sequence[Ask]) -> list[Outcome]:
    devices = {device.name: device for device in carrier.job.settings.devices}
    words = carrier.job.world.words
    calls = [(own, devices[own.device], words.get(own.device)) for own in carrier.of(asks)]
    return try_steps(say_attributes, calls)


def _share(carrier: LocalCarrier, asks: Sequence[Ask]) -> list[Outcome]:
    return try_steps(share, [(own, carrier.job.world.info) for own in carrier.of(asks)])


def _adopt(carrier: LocalCarrier, asks: Sequence[Ask]) -> list[Outcome]:
    """Without a model beside the question, the one that the device has is taken up again."""
    info, machine = carrier.job.world.info, carrier.job.machine
    pairs = zip(carrier.of(asks), asks, strict=True)
    return try_steps(adopt, [(own, ask.body or own.model, info, machine) for own, ask in pairs])


def _sketch(carrier: LocalCarrier, asks: Sequence[Ask]) -> list[Outcome]:
    how, seed = carrier.job.settings.refinement.part(Sketching), carrier.job.settings.seed
    return try_steps(sketch, [(own, how, seed + own.id) for own in carrier.of(asks)])


def _train(carrier: LocalCarrier, asks: Sequence[Ask]) -> list[Outcome]:
    return _trained(carrier, carrier.of(asks), carrier.turn(asks[0]))


def _trained(carrier: LocalCarrier, owns: Sequence[Own], turn: Turn) -> list[Outcome]:
    rest = (turn, carrier.work, carrier.speech, carrier.job.machine)
    return _together([(own,) for own in owns], lambda owned: (train, (list(*owned), *rest)))


def _prune(carrier: LocalCarrier, asks: Sequence[Ask]) -> list[Outcome]:
    given = [(own, ask.body) for own, ask in zip(carrier.of(asks), asks, strict=True)]
    return _tuned(carrier, given, carrier.turn(asks[0]))


def _tuned(
    carrier: LocalCarrier, given: list[tuple[Own, Message | None]], turn: Turn
) -> list[Outcome]:
    rest = (turn, carrier.work, carrier.job.machine)
    return _together([*given], lambda columns: (prune, (*map(list, columns), *rest)))


def _finish(carrier: LocalCarrier, asks: Sequence[Ask]) -> list[Outcome]:
    turn, owns = carrier.turn(asks[0]), carrier.of(asks)
    twins = _alone(carrier, owns, turn) if turn.how.up else {}
    rest = (turn, carrier.work, carrier.job.settings.refinement.prune_by, carrier.job.machine)
    return _together(
        [(own, twins.get(own.device)) for own in owns],
        lambda given: (finish, (*map(list, given), *rest)),
    )


def _alone(carrier: LocalCarrier, owns: Sequence[Own], turn: Turn) -> dict[str, Own]:
    """By name what devices have after the same rounds had nobody told them anything; but for those
    that fail, as they did with peers or will by themselves."""
    twins = [own.as_received for own in owns]
    for now in (replace(turn, round=t, exchange=ALONE) for t in range(1, turn.round + 1)):
        trained = [of.own for of in _trained(carrier, twins, now) if isinstance(of, Answer)]
        tuned = _tuned(carrier, [(own, None) for own in trained], now)
        twins = [of.own for of in tuned if isinstance(of, Answer)]
    return {own.device: own for own in twins}


def _together(
    given: list[tuple[Any, ...]], call: Callable[[Any], tuple[Any, tuple[Any, ...]]]
) -> list[Outcome]:
    """All devices in one batched step; where that fails, each alone, to know whose fault it is.

    Args:
        given: what each device gives to the step.
        call: the columns of ``given`` -> the step and its arguments.
    """
    if not given:
        return []
    step, arguments = call(list(zip(*given, strict=True)))
    [answers] = try_steps(step, [arguments])
    if not isinstance(answers, Exception):
        return list(answers)
    if len(given) == 1:
        return [answers]
    return [outcome for one in given for outcome in _together([one], call)]


HOW: dict[str, Callable[[LocalCarrier, Sequence[Ask]], list[Outcome]]] = {
    "attributes": _attributes,
    "share": _share,
    "adopt": _adopt,
    "sketch": _sketch,
    "train": _train,
    "prune": _prune,
    "finish": _finish,
}
"""How each of the questions is put to devices here."""
