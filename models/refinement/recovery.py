"""Whether devices that see the world alike find each other by their data alone (Eq. 19, 20)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Recovery:
    """How much of the weight that devices give to peers goes to those of their own context.

    Attributes:
        share: mean over the devices; what a device gives itself does not count.
        chance: what equal weights would come to.
        devices: how many were counted: those that have peers of their own context and of others,
            and listen to any.
    """

    share: float
    chance: float
    devices: int


def recovery(clusters: Iterable[tuple[ArrayLike, Sequence[str]]]) -> Recovery | None:
    """Of mixing weights ``(devices, devices)``, a row who listens, and the devices' contexts, for
    each cluster; None where no device has both kinds of peers."""
    found = [pair for weights, contexts in clusters for pair in _of_cluster(weights, contexts)]
    if not found:
        return None
    shares, chances = zip(*found, strict=True)
    return Recovery(mean(shares), mean(chances), len(found))


def _of_cluster(weights: ArrayLike, contexts: Sequence[str]) -> list[tuple[float, float]]:
    to_peers = np.array(weights, np.float64)
    np.fill_diagonal(to_peers, 0)
    same = np.array(contexts)[:, None] == np.array(contexts)[None]
    np.fill_diagonal(same, False)
    peers, total = same.sum(1), to_peers.sum(1)
    counted = (peers > 0) & (peers < len(contexts) - 1) & (total > 0)
    shares = (to_peers * same).sum(1)[counted] / total[counted]
    return list(zip(shares.tolist(), (peers[counted] / (len(contexts) - 1)).tolist(), strict=True))
