"""All attacks on all seeds' devices."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace

from tasks.experiments.privacy.costs import gains, recovered
from tasks.experiments.privacy.measures import Found, found
from tasks.experiments.privacy.messages import ATTACKS, NOISY, Attack, described
from tasks.experiments.privacy.stand import stand

FEW = 12
"""Samples a class, of the same devices with less."""
NOISES = (0.0, *sorted({a.noise for a in NOISY if a.kind == "class_statistics"}))


@dataclass(frozen=True)
class Tables:
    """What came out, over seeds and devices.

    Attributes:
        many, few: by message, of devices with all their samples, and with ``FEW`` a class.
        contexts: by sketch, a share of recovered weight a seed.
        gains: by noise on statistics, what each device with few samples gains by its peers'.
        seconds: that it took.
    """

    many: dict[str, Found] = field(default_factory=dict)
    few: dict[str, Found] = field(default_factory=dict)
    contexts: dict[str, list[float]] = field(default_factory=dict)
    gains: dict[float, list[float]] = field(default_factory=dict)
    seconds: float = 0.0

    @classmethod
    def of(cls, seeds: Iterable[int]) -> Tables:
        """Every seed has data, a model and an attacker of its own."""
        start, tables = time.perf_counter(), cls()
        for seed in seeds:
            here = stand(seed)
            for attack in (*ATTACKS, *NOISY):
                _gather(tables.many, attack, found(here, attack))
                if attack.kind == "feature_sketch":
                    tables.contexts.setdefault(attack.name, []).append(recovered(here, attack))
            less = here.with_fewer(FEW)
            for attack in (*ATTACKS, *NOISY):
                _gather(tables.few, attack, found(less, attack))
            for noise, gained in zip(NOISES, gains(less, [*map(described, NOISES)]), strict=True):
                tables.gains.setdefault(noise, []).extend(gained)
        return replace(tables, seconds=time.perf_counter() - start)


def _gather(into: dict[str, Found], attack: Attack, new: Found) -> None:
    """Values of one more seed."""
    old = into.setdefault(attack.name, Found([], [], [], [], [], []))
    for part in fields(Found):
        getattr(old, part.name).extend(getattr(new, part.name))
