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

ERRORS = 2  # standard errors that a distance or shift of nothing may be off
LOOKED = 64  # directions in which peers are looked for
NEAR = 0.5  # of how far apart a device's own classes are: as near are the same ones
KNOWS = 0.5  # of the same, squared: by so much farther apart are different ones
LOUDEST = 4  # times as many samples of a class as the listener has


def distance(a: Statistics, b: Statistics) -> float:
    """How far the means of classes that both have are apart, squared, in units of ``a``'s
    variance; what chance alone would bring, ``rank * (1/n_a + 1/n_b)``, is taken off, so that of
    samples of one distribution it is 0 in expectation, at any number of them. Classes count the
    more, the less chance there is in them.

    Returns:
        infinite where they share no class.
    """
    return _apart(*_pairs(a, b, a.labels[:, None] == b.labels))


def crossed(a: Statistics, b: Statistics) -> float:
    """The same between each class of ``a`` and all *other* classes of ``b``, which may be ``a``
    again: how far its own classes are apart."""
    return _apart(*_pairs(a, b, a.labels[:, None] != b.labels))


def shift(a: Statistics, b: Statistics) -> float:
    """How far the classes that both have are moved *together*, squared, in the same units: of the
    mean difference, weighted as in :func:`distance`, less what chance alone would bring. Another
    sensor or language moves all classes much alike, and their mean has less chance in it than each.

    Returns:
        infinite where they share no class.
    """
    mine, theirs = _pairs(a, b, a.labels[:, None] == b.labels)
    if not len(mine.labels):
        return math.inf
    weights = _weights(mine, theirs)
    moved = weights @ (mine.means - theirs.means) / weights.sum()
    return float((moved.pow(2) / a.variance).sum() - len(a.variance) / weights.sum())


def apart(told: Sequence[Statistics]) -> Matrix:
    """Square roots of all distances ``(devices, devices)``, not below 0; where two share no class,
    that of the two that are farthest apart."""
    squares = np.array([[distance(a, b) for b in told] for a in told])
    known = squares[np.isfinite(squares)]
    squares[~np.isfinite(squares)] = known.max(initial=0.0)
    np.fill_diagonal(squares, 0)
    return np.sqrt(squares.clip(0))


def noise(a: Statistics, b: Statistics, basis: Basis) -> float:
    """The standard deviation of :func:`distance` where the two see alike: that of a sum of chi
    squares whose coordinates are correlated as they are in public data. Of :func:`shift`, which is
    of one such sum and not of one a class, it is this by the root of their number."""
    weights, rank = _weights(*_pairs(a, b, a.labels[:, None] == b.labels)), len(a.variance)
    correlated = basis.correlation[:rank, :rank].norm()
    return float(math.sqrt(2 * len(weights)) * correlated / weights.sum())


def _pairs(a: Statistics, b: Statistics, which: Tensor) -> tuple[Statistics, Statistics]:
    of_a, of_b = which.nonzero(as_tuple=True)
    return a.at(of_a), b.at(of_b)


def _weights(a: Statistics, b: Statistics) -> Tensor:
    return 1 / (1 / a.counts + 1 / b.counts)


def _apart(a: Statistics, b: Statistics) -> float:
    if not len(a.labels):
        return math.inf
    squares = ((a.means - b.means).pow(2) / a.variance).sum(1)
    weights = _weights(a, b)
    by_chance = squares.numel() * len(a.variance)  # a pair's is rank over its weight
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
    """Whether a device should listen to a peer: the same classes lie no farther apart, and are
    moved together no farther, than chance brings about, or than a part of what the device's own
    different classes are apart; and different classes lie farther apart than the same ones, by half
    (of squares) of what the own ones do: the peer must know what is what, where chance alone would
    let pass whoever says little.

    It looks along the first directions, where public data vary most: the later ones tell fewer
    samples apart less surely. Of what the peer says, its counts alone move the thresholds, and
    these within bounds.
    """
    own, peer = own.leading(LOOKED), peer.leading(LOOKED)
    found = distance(own, peer)
    if found == math.inf:
        return False
    apart = max(0.0, crossed(own, own)) if len(own.labels) > 1 else 0.0
    error, shared = noise(own, peer, basis), int(torch.isin(own.labels, peer.labels).sum())
    near = found <= max(ERRORS * error, NEAR**2 * apart)
    still = shift(own, peer) <= max(ERRORS * error / math.sqrt(shared), NEAR**2 * apart)
    return near and still and crossed(own, peer) - found >= KNOWS * apart


def bounded(own: Statistics, peers: Sequence[Statistics]) -> list[Statistics]:
    """Peers' statistics in which no class counts for more samples than the median of the listener
    and its peers has of its largest, or than ``LOUDEST`` times the listener's own largest: what a
    liar claims beyond that does not count."""
    largest = [max(each.counts.tolist(), default=0.0) for each in (own, *peers)]
    most = max(LOUDEST * largest[0], median_low(largest))
    return [replace(peer, counts=peer.counts.clamp(max=most)) for peer in peers]
