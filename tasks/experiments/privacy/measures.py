"""What an attacker makes of the messages of one seed's devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from models.privacy.rebuilding import correlation, nearest
from models.privacy.scores import Values, area, learned, weighed
from tasks.experiments.privacy.attacker import Attacker
from tasks.experiments.privacy.messages import Attack, Told
from tasks.experiments.privacy.people import Person, Seen
from tasks.experiments.privacy.stand import Stand
from tasks.run.store import encode

JUDGED = 24
"""Shadows by whose samples evidence is weighed: it is the costly part."""
ASKED = 100
"""Of a person's samples, and as many of nobody's, about which it is asked whether they are among
its data."""


@dataclass(frozen=True)
class Found:
    """Of one kind of message what came out, a value a device that sent one.

    Attributes:
        sent_bytes: of a message.
        classes: area under the curve over the classes.
        members: area under the curve over samples.
        rebuilt: mean correlation of the samples that it is made of with the nearest of what it is
            decoded to.
        strangers: the same of nobody's samples, which are not in it.
        usual: the same of those that it is made of with the public mean of their class.
    """

    sent_bytes: list[float]
    classes: list[float]
    members: list[float]
    rebuilt: list[float]
    strangers: list[float]
    usual: list[float]


def found(stand: Stand, attack: Attack) -> Found:
    """All attacks on one kind of message; nothing where nobody has what it would say."""
    attacker, seed = stand.attacker, stand.settings.seed
    sent, shadowed = (
        told_by(attacker, people, attack, seed) for people in (stand.devices, stand.shadows)
    )
    result = Found([], [], [], [], [], [])
    if not sent:
        return result
    classes = _classes(attacker, attack, shadowed)
    looks = _guesses(attacker, attack, shadowed)
    member = _member(attacker, attack, shadowed[:JUDGED])
    for told in sent:
        result.sent_bytes.append(len(encode(dict(told.body))))
        _add(result.classes, area(classes(told), _has(attacker, told.person)))
        _add(result.members, area(*_judged(attacker, attack, told, member)))
        own, strangers = _asked(attacker, attack, told)
        guesses = looks(told)
        usual = attacker.usual[told.context][own.data.labels]
        result.rebuilt.append(nearest(own.looks, guesses).mean().item())
        result.strangers.append(nearest(strangers.looks, guesses).mean().item())
        result.usual.append(correlation(own.looks, usual).mean().item())
    return result


def told_by(attacker: Attacker, people: list[Person], attack: Attack, seed: int) -> list[Told]:
    """The messages of those who send one."""
    sent = []
    for number, person in enumerate(people):
        stream = torch.Generator().manual_seed(seed + 1000 * number)
        body = attack.make(attacker, person, stream)
        if body is not None:
            sent.append(Told(body, person))
    return sent


Guess = Callable[[Told], Values]


def _classes(attacker: Attacker, attack: Attack, shadowed: list[Told]) -> Guess:
    """From a message to a score a class."""
    if attack.classes is not None:
        return partial(attack.classes, attacker)
    has = np.stack([_has(attacker, told.person) for told in shadowed]).astype(float)
    return _learned(attacker, attack, shadowed, has)


def _guesses(attacker: Attacker, attack: Attack, shadowed: list[Told]) -> Callable[[Told], Tensor]:
    """From a message to looks ``(n, parts)``."""
    if attack.guesses is not None:
        return partial(attack.guesses, attacker)
    means = [attacker.standardised(told.person.own.data).mean(0) for told in shadowed]
    place = _learned(attacker, attack, shadowed, torch.stack(means).double().numpy())
    return lambda told: attacker.from_tokens(torch.from_numpy(place(told)).float()[None])


def _learned(attacker: Attacker, attack: Attack, shadowed: list[Told], targets: Values) -> Guess:
    """From a message to targets ``(targets,)``, of which those of shadows are known: how a message
    differs from the usual one of its context says how its targets do."""
    assert attack.vector is not None
    vector = partial(attack.vector, attacker)
    contexts = [told.context for told in shadowed]
    vectors = np.stack([vector(told) for told in shadowed])
    here, there = _usual(vectors, contexts), _usual(targets, contexts)
    model = learned(
        vectors - np.stack([here[c] for c in contexts]),
        targets - np.stack([there[c] for c in contexts]),
    )

    def guess(told: Told) -> Values:
        moved = vector(told) - here[told.context]
        found: Values = there[told.context] + model(moved[None])[0]
        return found

    return guess


def _usual(values: Values, contexts: list[str]) -> dict[str, Values]:
    """The mean of each context."""
    at = np.array(contexts)
    return {context: values[at == context].mean(0) for context in contexts}


def _has(attacker: Attacker, person: Person) -> np.ndarray:
    classes = torch.arange(attacker.received.classes)
    return torch.isin(classes, person.own.data.labels).numpy()


def _member(attacker: Attacker, attack: Attack, shadowed: list[Told]) -> Callable[[Values], Values]:
    judged = [_evidence(attacker, attack, told) for told in shadowed]
    return weighed(*(np.concatenate(parts) for parts in zip(*judged, strict=True)))


def _judged(
    attacker: Attacker, attack: Attack, told: Told, member: Callable[[Values], Values]
) -> tuple[Values, np.ndarray]:
    evidence, truth = _evidence(attacker, attack, told)
    return member(evidence), truth


def _evidence(attacker: Attacker, attack: Attack, told: Told) -> tuple[Values, np.ndarray]:
    """Of the samples that are asked about, and which of them are the device's."""
    asked = _asked(attacker, attack, told)
    evidence = [attack.evidence(attacker, told, seen.data) for seen in asked]
    truth = np.repeat([True, False], [len(each) for each in evidence])
    return torch.cat(evidence).double().numpy(), truth


def _asked(attacker: Attacker, attack: Attack, told: Told) -> tuple[Seen, Seen]:
    """Samples that a message is made of, and as many of nobody's of the same classes."""
    own = told.person.own
    if attack.shows is not None:
        own = own.at(attack.shows(attacker, told).nonzero().flatten())
    others, mine, theirs = told.person.others, [], []
    classes = own.data.labels.unique()
    for label in classes:
        at, there = ((s.data.labels == label).nonzero().flatten() for s in (own, others))
        count = min(len(at), len(there), ASKED // len(classes))
        mine.append(at[:count])
        theirs.append(there[:count])
    return own.at(torch.cat(mine)), others.at(torch.cat(theirs))


def _add(to: list[float], value: float | None) -> None:
    if value is not None:
        to.append(value)
