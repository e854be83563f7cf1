"""Rules by which a cluster gets one of the variants that fit: Eq. 13, and the three that the paper
compares it with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.matching.candidates import Candidate, Offer, Rule


def pareto(offer: Offer) -> int:
    """Eq. 13: of the front's variants whose loss counts as the best (the search set), the one that
    is closest to the best loss, energy and size together (the ideal point, in grid coordinates).

    Ties: fewer parameters, then less energy."""
    ideal = offer.psi.min(axis=0)

    def distance(i: int) -> tuple[float, float, float]:
        candidate = offer.candidates[i]
        apart = float(np.linalg.norm(offer.psi[i] - ideal))
        return apart, candidate.parameters, candidate.energy_joule

    return min(offer.search_set, key=distance)


def greedy_accuracy(offer: Offer) -> int:
    """The candidate with the highest validation accuracy; ties: fewer parameters."""
    return _first(offer, lambda c: (-c.accuracy, c.parameters))


def greedy_size(offer: Offer) -> int:
    """The largest candidate; ties: higher accuracy."""
    return _first(offer, lambda c: (-c.parameters, -c.accuracy))


def at_random(offer: Offer) -> int:
    """Any candidate."""
    return int(np.random.default_rng(offer.seed).choice(len(offer.candidates)))


RULES: dict[str, Rule] = {
    "pareto": pareto,
    "greedy-accuracy": greedy_accuracy,
    "greedy-size": greedy_size,
    "random": at_random,
}


def _first(offer: Offer, key: Callable[[Candidate], tuple[float, float]]) -> int:
    return min(range(len(offer.candidates)), key=lambda i: key(offer.candidates[i]))
