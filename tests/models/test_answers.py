"""A model that is told a device's classes answers no others."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from models.answers import Restricted, answered, restricted, silent
from models.backbone.training import restricted_accuracy
from models.ranges import Answerable


@given(st.integers(0, 10_000), st.sets(st.integers(0, 5), min_size=1))
def test_the_best_of_its_classes_is_answered_and_the_others_have_no_share(
    seed: int, told: set[int]
) -> None:
    logits = 50 * torch.randn(7, 6, generator=torch.Generator().manual_seed(seed))
    classes = torch.tensor(sorted(told))
    found = restricted(logits, classes)
    best = [max(told, key=lambda c, row=row: row[c]) for row in logits.tolist()]  # type: ignore[misc]
    assert found.argmax(1).tolist() == best
    shares = found.softmax(1)
    torch.testing.assert_close(shares[:, classes], logits[:, classes].softmax(1))
    assert shares[:, silent(classes, 6)].sum() == 0
    assert restricted_accuracy(logits, torch.tensor(best), classes) == 1


def test_who_answers_all_answers_as_before() -> None:
    logits = torch.randn(3, 4)
    assert restricted(logits, None) is logits
    assert answered("all", torch.tensor([2, 0])) is None


@pytest.mark.parametrize(
    ("answers", "wanted", "classes"),
    [
        ("own", None, [1, 3]),
        ("own", [2, 5], [1, 3]),
        ("wanted", None, [1, 3]),
        ("wanted", [], [1, 3]),
        ("wanted", [5, 2, 3], [1, 2, 3, 5]),
    ],
)
def test_own_classes_are_those_of_its_labels_and_wanted_ones_come_to_them(
    answers: Answerable, wanted: list[int] | None, classes: list[int]
) -> None:
    more = None if wanted is None else torch.tensor(wanted, dtype=torch.int64)
    told = answered(answers, torch.tensor([3, 1, 3]), more)
    assert told is not None
    assert told.tolist() == classes
    assert answered("all", torch.tensor([3, 1, 3]), more) is None


def test_a_header_that_ships_is_the_header_restricted() -> None:
    header, x = nn.Linear(5, 4), torch.randn(6, 5)
    classes = torch.tensor([0, 2])
    ships = Restricted(header, silent(classes, 4))
    assert torch.equal(ships(x), restricted(header(x), classes))
    assert list(ships.state_dict()) == ["silent", "header.weight", "header.bias"]
