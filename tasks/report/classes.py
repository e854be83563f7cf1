"""Class by class: what devices get right, and what they take it for instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MISTAKES = 3
"""Of a device, as many are named."""
Confusion = Mapping[str, Mapping[str, int]]
"""By class how often which class was answered; what never occurred is left out."""


@dataclass(frozen=True)
class ClassRow:
    """One class of a test split; ``instead`` is the wrong answer that was given most, ``times``
    times; nothing where there was none."""

    name: str
    samples: int
    right: int
    instead: str | None
    times: int

    @property
    def share(self) -> float:
        """Of its samples, how many are right."""
        return self.right / self.samples


@dataclass(frozen=True)
class Mistake:
    """``samples`` of a test split are of the class ``name``; ``times`` of them were taken for
    ``answer``."""

    name: str
    answer: str
    times: int
    samples: int

    @property
    def words(self) -> str:
        """In a line."""
        return f"{self.name} for {self.answer} ({self.times:,} of {self.samples:,})"


def mistakes(confusion: Confusion, most: int = MISTAKES) -> list[Mistake]:
    """The wrong answers that were given most, at most so many; of those given equally often, the
    one to the class of fewer samples first."""
    found = [
        Mistake(name, answer, times, sum(answers.values()))
        for name, answers in confusion.items()
        for answer, times in answers.items()
        if answer != name
    ]
    return sorted(found, key=lambda m: (-m.times, m.samples, m.name, m.answer))[:most]


def class_rows(confusion: Confusion) -> list[ClassRow]:
    """A row a class that has samples, worst first; equal ones in the classes' order."""
    return sorted((_row(*item) for item in confusion.items()), key=lambda row: row.share)


def together(confusions: Iterable[Confusion]) -> dict[str, dict[str, int]]:
    """The sum of several."""
    total: dict[str, dict[str, int]] = {}
    for label, row in (item for confusion in confusions for item in confusion.items()):
        for answer, count in row.items():
            mine = total.setdefault(label, {})
            mine[answer] = mine.get(answer, 0) + count
    return total


def _row(name: str, answers: Mapping[str, int]) -> ClassRow:
    wrong = {answer: n for answer, n in answers.items() if answer != name}
    instead = max(wrong, key=lambda answer: (wrong[answer], answer)) if wrong else None
    right = answers.get(name, 0)
    times = wrong[instead] if instead is not None else 0
    return ClassRow(name, sum(answers.values()), right, instead, times)
