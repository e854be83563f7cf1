"""All attacks on all seeds' devices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields

from tasks.experiments.privacy.costs import gains, recovered
from tasks.experiments.privacy.measures import Found, found
from tasks.experiments.privacy.messages import ATTACKS, NOISY, Attack, described
from tasks.experiments.privacy.stand import Stand, stand

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
    """

    many: dict[str, Found] = field(default_factory=dict)
    few: dict[str, Found] = field(default_factory=dict)
    contexts: dict[str, list[float]] = field(default_factory=dict)
    gains: dict[float, list[float]] = field(default_factory=dict)

    @classmethod
    def of(cls, seeds: Iterable[int]) -> Tables:
        """Every seed has data, a model and an attacker of its own."""
        tables = cls()
        for seed in seeds:
            here = stand(seed)
            less = here.with_fewer(FEW)
            for attack in (*ATTACKS, *NOISY):
                _gather(tables.many, attack, found(here, attack))
                _gather(tables.few, attack, found(less, attack))
                if attack.kind == "feature_sketch":
                    tables.contexts.setdefault(attack.name, []).append(recovered(here, attack))
            for noise, gained in zip(NOISES, gains(less, [*map(described, NOISES)]), strict=True):
                tables.gains.setdefault(noise, []).extend(gained)
        return tables


def attacked(stands: Sequence[Stand]) -> tuple[dict[str, Found], dict[str, Found]]:
    """What came out of every message of all devices, and of the same with few samples."""
    many, few = dict[str, Found](), dict[str, Found]()
    for here in stands:
        less = here.with_fewer(FEW)
        for attack in ATTACKS:
            _gather(many, attack, found(here, attack))
            _gather(few, attack, found(less, attack))
    return many, few


def _gather(into: dict[str, Found], attack: Attack, new: Found) -> None:
    """Values of one more seed."""
    old = into.setdefault(attack.name, Found([], [], [], [], [], []))
    for part in fields(Found):
        getattr(old, part.name).extend(getattr(new, part.name))
