"""Class by class: what devices get right, and what they take it for instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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
