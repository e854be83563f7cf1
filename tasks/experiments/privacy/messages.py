"""Every kind of message that goes up from a device, and how it is attacked."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from models.header.split import Split
from models.privacy import membership
from models.privacy.scores import Values
from models.refinement import differences
from models.refinement.exchange import Body
from models.refinement.exchanges import EXCHANGES
from models.refinement.noise import noised
from models.refinement.sketches import SKETCHES
from models.refinement.statistics import Statistics
from tasks.experiments.privacy.attacker import Attacker
from tasks.experiments.privacy.people import Person

SURE = 0.999  # that a sample is of a class
SHOWN = 32
"""Samples of a sketch that shows some: ``refinement.sketch_samples``."""


@dataclass(frozen=True)
class Told:
    """A message's content, who sent it, and in which context that device is."""

    body: Body
    person: Person

    @property
    def context(self) -> str:
        return self.person.context


@dataclass(frozen=True)
class Attack:
    """How one kind of message is made, and read by an attacker.

    Attributes:
        kind: of message; ``note`` tells it from others of the same kind.
        make: what a device sends; None where it withholds it.
        evidence: that samples are among those that the content is made of ``(n, kinds)``.
        vector: a content as numbers, always as many ``(values,)``; attacks learn from shadows' what
            they say of classes and of the mean sample. None: there is no need to.
        classes: how much a content says for each class ``(classes,)`` by itself.
        guesses: looks ``(n, parts)`` that the content is decoded to; None where nothing in it is
            a place among samples: the mean sample is guessed then.
        shows: those train samples that the content is made of; None: all.
        noise: that the device adds.
    """

    kind: str
    note: str
    make: Callable[[Attacker, Person, torch.Generator], Body | None]
    evidence: Callable[[Attacker, Told, Split], Tensor]
    vector: Callable[[Attacker, Told], Values] | None = None
    classes: Callable[[Attacker, Told], Values] | None = None
    guesses: Callable[[Attacker, Told], Tensor] | None = None
    shows: Callable[[Attacker, Told], Tensor] | None = None
    noise: float = 0.0

    @property
    def name(self) -> str:
        return f"`{self.kind}`{self.note and ', '}{self.note}"


def _flat(attacker: Attacker, told: Told) -> Values:
    found: Values = torch.cat([t.flatten().double() for t in told.body.values()]).numpy()
    return found


def sketched(name: str, noise: float = 0.0) -> Attack:
    """A sketch of a kind."""
    one_by_one = name == "samples"

    def make(attacker: Attacker, person: Person, stream: torch.Generator) -> Body | None:
        values = attacker.standardised(person.own.data)
        points = SKETCHES[name].make(values, SHOWN, stream)
        return None if points is None else noised({"features": points.half()}, noise, stream)

    def evidence(attacker: Attacker, told: Told, data: Split) -> Tensor:
        values, reference = attacker.standardised(data), attacker.tokens[told.context]
        return membership.of_points(told.body["features"], values, data.labels, reference)

    def decoded(attacker: Attacker, told: Told) -> Tensor:
        points = told.body["features"].float()
        found: Tensor = attacker.from_tokens(points if one_by_one else points.mean(0)[None])
        return found

    return Attack(
        "feature_sketch",
        name + _with(noise),
        make,
        evidence,
        None if one_by_one else _flat,
        _classes_of_rows if one_by_one else None,
        decoded,
        _rows_shown if one_by_one else None,
        noise,
    )


def _with(noise: float) -> str:
    return f", noise {noise:g}" if noise else ""


def _classes_of_rows(attacker: Attacker, told: Told) -> Values:
    """How surely one of the samples at least is of each class."""
    each = attacker.tokens[told.context].classes_of(told.body["features"])
    found: Values = -torch.log1p(-each.clamp(max=SURE)).sum(0).numpy()
    return found


def _rows_shown(attacker: Attacker, told: Told) -> Tensor:
    values = attacker.standardised(told.person.own.data).half()
    return (values[:, None] == told.body["features"]).all(-1).any(1)


def exchanged(
    exchange: str,
    evidence: Callable[[Attacker, Told, Split], Tensor],
    vector: Callable[[Attacker, Told], Values] = _flat,
) -> Attack:
    """What an exchange sends in its first round."""
    how = EXCHANGES[exchange]
    assert how.up is not None

    def make(attacker: Attacker, person: Person, stream: torch.Generator) -> Body | None:
        of_nothing = how.prunes and not attacker.received.neurons
        return None if of_nothing else how.prepare(person.state)[0]

    return Attack(how.up.kind, "", make, evidence, vector)


def _importance(attacker: Attacker, told: Told, data: Split) -> Tensor:
    usual = torch.full_like(told.body["importance"], 1 / len(told.body["importance"]))
    return membership.of_importance(told.body["importance"], usual, attacker.header, data)


def _difference(attacker: Attacker, told: Told, data: Split) -> Tensor:
    after = deepcopy(attacker.header)
    moved = parameters_to_vector(after.parameters()) + differences.unpacked(told.body)
    vector_to_parameters(moved, after.parameters())
    return membership.of_headers(attacker.header, after, data)


def _differences(attacker: Attacker, told: Told) -> Values:
    found: Values = differences.unpacked(told.body).double().numpy()
    return found


def described(noise: float = 0.0) -> Attack:
    """Class statistics."""

    def make(attacker: Attacker, person: Person, stream: torch.Generator) -> Body:
        return noised(EXCHANGES["statistics"].prepare(person.state)[0], noise, stream)

    return Attack(
        "class_statistics",
        _with(noise)[2:],
        make,
        _statistics,
        classes=_labels,
        guesses=_decoded_means,
        noise=noise,
    )


def _labels(attacker: Attacker, told: Told) -> Values:
    """Which classes there are is said in so many words."""
    found = np.zeros(attacker.received.classes)
    found[told.body["labels"].numpy()] = 1
    return found


def _statistics(attacker: Attacker, told: Told, data: Split) -> Tensor:
    said = Statistics.from_body(told.body)
    means = torch.full((attacker.received.classes, said.means.shape[1]), torch.nan)
    means[said.labels] = said.means
    reference = attacker.coordinates[told.context]
    return membership.of_means(means, attacker.placed(data), data.labels, reference)


def _decoded_means(attacker: Attacker, told: Told) -> Tensor:
    found: Tensor = attacker.from_coordinates(Statistics.from_body(told.body).means)
    return found


def together() -> Attack:
    """Class statistics and header differences in one: what either says of a sample is weighed."""

    def evidence(attacker: Attacker, told: Told, data: Split) -> Tensor:
        return torch.cat([of(attacker, told, data) for of in (_statistics, _difference)], dim=1)

    return replace(
        exchanged("both", evidence), vector=None, classes=_labels, guesses=_decoded_means
    )


def _metrics(attacker: Attacker, person: Person, stream: torch.Generator) -> Body:
    return {"scores": torch.tensor(person.scores)}


def _fits(attacker: Attacker, told: Told, data: Split) -> Tensor:
    """Whether a sample's loss is what the device's samples have on the mean."""
    loss = -membership.of_headers(attacker.header, attacker.header, data)[:, 1:]
    return -(loss - told.body["scores"][0]).abs()


ATTACKS: tuple[Attack, ...] = (
    sketched("samples"),
    sketched("quantiles"),
    sketched("moments"),
    exchanged("importance", _importance),
    exchanged("weights", _difference, _differences),
    described(),
    together(),
    Attack("metrics", "", _metrics, _fits, _flat),
)
NOISY: tuple[Attack, ...] = (
    *(sketched("quantiles", noise) for noise in (0.1, 0.5)),
    *(described(noise) for noise in (0.25, 0.5)),
)
