"""What a sketch or noise costs: weight that goes to peers of other contexts, and gain."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from models.answers import restricted
from models.header.search import scores
from models.header.split import Split
from models.refinement.exchange import Body
from models.refinement.exchanges import EXCHANGES
from models.refinement.mixers import mixing_weights
from models.refinement.recipe import Likeness
from models.refinement.recovery import recovery
from models.refinement.training import fit_devices
from tasks.experiments.privacy.measures import told_by
from tasks.experiments.privacy.messages import Attack, Told
from tasks.experiments.privacy.people import Person
from tasks.experiments.privacy.stand import Stand

STATISTICS = EXCHANGES["statistics"]
STEPS = 120
"""Local steps, alone and with what came."""


def recovered(stand: Stand, attack: Attack) -> float:
    """The share of the weight given to peers that goes to those of the same context, by sketches of
    a kind."""
    told = told_by(stand.attacker, stand.devices, attack, stand.settings.seed)
    likeness, clusters = stand.settings.refinement.part(Likeness), []
    for mine in _by_edge(told):
        points = [each.body["features"].float().numpy() for each in mine]
        clusters.append((mixing_weights(likeness, points)[1], [each.context for each in mine]))
    found = recovery(clusters)
    assert found is not None
    return found.share


def gains(stand: Stand, attacks: Sequence[Attack]) -> list[list[float]]:
    """For each way to describe classes, what each device's accuracy on samples that it has not
    seen is above that after the same steps alone (nothing described)."""
    alone = _accuracies(stand, {})
    found = []
    for attack in attacks:
        told = told_by(stand.attacker, stand.devices, attack, stand.settings.seed)
        beside = dict[int, Body]()
        for mine in _by_edge(told):
            bodies = [each.body for each in mine]
            assert STATISTICS.weigh is not None
            found_alike = STATISTICS.weigh(bodies, stand.attacker.received)
            assert found_alike is not None
            came = STATISTICS.combine(bodies, found_alike[1])
            beside |= {id(each.person): body for each, body in zip(mine, came, strict=True)}
        with_peers = _accuracies(stand, beside)
        found.append((np.array(with_peers) - alone).tolist())
    return found


def _by_edge(told: list[Told]) -> list[list[Told]]:
    edges = dict.fromkeys(each.person.edge for each in told)
    return [[each for each in told if each.person.edge == edge] for edge in edges]


def _accuracies(stand: Stand, came: dict[int, Body]) -> list[float]:
    """Of the devices after :data:`STEPS` local steps on their own samples, and on what came."""
    people, seed = stand.devices, stand.settings.seed
    headers = [copy.deepcopy(stand.attacker.header) for _ in people]
    data = [
        _with_virtual(stand, each, came.get(id(each)), seed + i) for i, each in enumerate(people)
    ]
    steps = replace(stand.steps, count=STEPS)
    fit_devices(headers, data, steps, [seed + i for i in range(len(people))])
    found = []
    for header, person in zip(headers, people, strict=True):
        with torch.no_grad():
            answers = header.eval()(*person.others.data.inputs)
        mine = restricted(answers, person.own.data.labels.unique())
        found.append(scores(mine, person.others.data.labels)[1])
    return found


def _with_virtual(stand: Stand, person: Person, body: Body | None, seed: int) -> Split:
    """A device's samples and, where statistics came, virtual ones beside them."""
    data, basis = person.own.data, stand.attacker.received.basis
    assert STATISTICS.beside is not None
    assert basis is not None
    if body is None:
        return data
    return data.join(STATISTICS.beside(body, basis, data, torch.Generator().manual_seed(seed)))
