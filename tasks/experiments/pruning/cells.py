"""Headers after the rounds, without a part of their neurons, chosen in each way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.answers import answered
from models.refinement.pruning import alive_of
from models.refinement.recipe import Pruning
from models.refinement.training import LocalSteps, evaluate_devices
from tasks.device.choice import without_least
from tasks.device.own import Own
from tasks.device.rounds import Turn, fit
from tasks.device.scores import split_of
from tasks.experiments.exchange.cells import Circle
from tasks.run.cached import cached
from tasks.run.compute import Machine
from tasks.run.modules import load_header

Row = dict[str, Any]


@dataclass(frozen=True)
class Way:
    """A part of the neurons goes, by a ranking; then the others are tuned."""

    prune_by: str
    amount: Pruning
    tune: LocalSteps


@cached("{circle.edge}: discard {way.amount.prune_fraction} by {way.prune_by}, seed {turn.seed}")
def discarded(
    circle: Circle, owns: Sequence[Own], turn: Turn, way: Way, machine: Machine
) -> dict[str, Row]:
    """By device, of its header after the last round: the accuracy on its test split ``before``, and
    without these neurons, tuned; how many ``neurons`` are left of those received."""
    tests = [split_of(member.features, "test") for member in circle.members]
    trains = [split_of(own.adopted[1], "train") for own in owns]
    told = [
        answered(own.answers, train.labels, train.wanted)
        for own, train in zip(owns, trains, strict=True)
    ]
    whole = [load_header(own.adopted[2].header)[0].eval() for own in owns]
    headers = [without_least(own, turn, way.amount, way.prune_by) for own in owns]
    left = [int(alive_of(header).sum()) for header in headers]
    fit("discarding neurons", headers, owns, turn, way.tune, machine)
    before = evaluate_devices(whole, tests, told)
    after = evaluate_devices([header.eval() for header in headers], tests, told)
    return {
        own.device: {"before": b, "accuracy": a, "neurons": n / own.adopted[2].neurons_received}
        for own, (_, b), (_, a), n in zip(owns, before, after, left, strict=True)
    }
