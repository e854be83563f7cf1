"""Who listens to whom, told by the statistics themselves: devices that see alike have the same
classes in the same place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import median_low

import numpy as np
import torch
from torch import Tensor

from models.refinement.basis import Basis
from models.refinement.similarity import Matrix
from models.refinement.statistics import Statistics

ERRORS = 2  # standard errors that a distance of nothing may be off
LOOKED = 64  # directions in which peers are looked for
NEAR = 0.5  # of how far apart a device's own classes are
LOUDEST = 4  # times as many samples of a class as the listener has


def distance(a: Statistics, b: Statistics) -> float:
    """How far the means of classes that both have are apart, squared, in units of ``a``'s
    variance; what chance alone would bring, ``rank * (1/n_a + 1/n_b)``, is taken off, so that of
    samples of one distribution it is 0 in expectation, at any number of them. Classes count the
    more, the less chance there is in them.

    Returns:
        infinite where they share no class.
    """
    return _apart(*_shared(a, b), a.variance)


def noise(a: Statistics, b: Statistics, basis: Basis) -> float:
    """The standard deviation of :func:`distance` where the two see alike: that of a sum of chi
    squares whose coordinates are correlated as they are in public data."""
    weights, rank = _weights(*_shared(a, b)), len(a.variance)
    correlated = basis.correlation[:rank, :rank].norm()
    return float(math.sqrt(2 * len(weights)) * correlated / weights.sum())


def scale(own: Statistics) -> float:
    """The distance between different classes of one device, over all pairs; 0 with one class."""
    one, other = torch.triu_indices(len(own.labels), len(own.labels), 1)
    return max(0.0, _apart(own.at(one), own.at(other), own.variance)) if len(one) else 0.0


def _shared(a: Statistics, b: Statistics) -> tuple[Statistics, Statistics]:
    of_a, of_b = (a.labels[:, None] == b.labels).nonzero(as_tuple=True)
    return a.at(of_a), b.at(of_b)


def _weights(a: Statistics, b: Statistics) -> Tensor:
    return 1 / (1 / a.counts + 1 / b.counts)


def _apart(a: Statistics, b: Statistics, unit: Tensor) -> float:
    if not len(a.labels):
        return math.inf
    squares = ((a.means - b.means).pow(2) / unit).sum(1)
    weights = _weights(a, b)
    by_chance = len(squares) * len(unit)  # of each class: its weight times rank over its weight
    return float((weights @ squares - by_chance) / weights.sum())


def alike(told: Sequence[Statistics], basis: Basis) -> Matrix:
    """Whom each device should listen to ``(devices, devices)``: the peers that :func:`is_alike`
    lets in get equal weights, which sum to 1; the row of a device without any is 0, and so is the
    diagonal."""
    weights = np.zeros((len(told), len(told)))
    for i, own in enumerate(told):
        for j, peer in enumerate(told):
            weights[i, j] = i != j and is_alike(own, peer, basis)
    total = weights.sum(1, keepdims=True)
    return np.divide(weights, total, out=weights, where=total > 0)


def is_alike(own: Statistics, peer: Statistics, basis: Basis) -> bool:
    """Whether a device should listen to a peer: the same classes lie no farther apart than chance
    brings about, or less than half as far as its own different classes do.

    It looks along the first directions, where public data vary most: the later ones tell fewer
    samples apart less surely. Of what the peer says, its counts alone move the threshold, and
    these within bounds.
    """
    own, peer = own.leading(LOOKED), peer.leading(LOOKED)
    found = distance(own, peer)
    if found == math.inf:
        return False
    return found <= max(ERRORS * noise(own, peer, basis), NEAR**2 * scale(own))


def bounded(own: Statistics, peers: Sequence[Statistics]) -> list[Statistics]:
    """Peers' statistics in which no class counts for more samples than the median of the listener
    and its peers has of its largest, or than ``LOUDEST`` times the listener's own largest: what a
    liar claims beyond that does not count."""
    largest = [max(each.counts.tolist(), default=0.0) for each in (own, *peers)]
    most = max(LOUDEST * largest[0], median_low(largest))
    return [replace(peer, counts=peer.counts.clamp(max=most)) for peer in peers]
