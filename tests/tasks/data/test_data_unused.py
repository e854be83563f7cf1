"""What is left over for ceilings: nobody's, of the right context, and never too much."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tasks.data.contexts import Contexts
from tasks.data.partition import partition
from tasks.data.unused import rows_of, unused
from tests.tasks.data.test_data_partition import PLAN, TEST, TRAIN, device

MADE = Contexts(("upright", "rotated", "skewed"), (0,), made=True)
NATURAL = Contexts(("day", "night"), (0,))


@pytest.mark.parametrize("count", [0, 40, 100_000])
def test_what_is_left_is_in_no_row_of_the_manifest(count: int) -> None:
    plan = replace(PLAN, contexts=MADE)
    devices = [replace(device(0), context=1), replace(device(1, 1), context=2)]
    frame = partition(TRAIN, TEST, devices, plan, 0)
    taken = {int(name[6:]) for name in frame["sample_id"] if name.startswith("train-")}
    free = set(range(len(TRAIN.labels))) - taken
    found = unused(TRAIN, frame, MADE, count, 0)
    assert set(found) == {1, 2}  # those of the devices
    for index in found.values():
        assert set(index.tolist()) <= free
        assert len(set(index.tolist())) == len(index) == min(count, len(free))
    again = unused(TRAIN, frame, MADE, count, 0)
    assert all(np.array_equal(found[context], again[context]) for context in found)


def test_a_natural_context_has_its_own_alone() -> None:
    contexts = np.arange(len(TRAIN.labels)) % 2
    train = replace(TRAIN, contexts=contexts)
    test = replace(TEST, contexts=np.arange(len(TEST.labels)) % 2)
    plan = replace(PLAN, contexts=NATURAL)
    of_night = replace(device(0), context=1)
    frame = partition(train, test, [of_night], plan, 0)
    [index] = unused(train, frame, NATURAL, 500, 0).values()
    assert len(index) == 500
    assert set(contexts[index]) == {1}


def test_a_device_that_lives_in_a_public_context_has_more_to_learn_from_too() -> None:
    plan = replace(PLAN, contexts=MADE)
    frame = partition(TRAIN, TEST, [device(0)], plan, 0)
    assert list(unused(TRAIN, frame, MADE, 10, 0)) == [0]


def test_classes_are_as_even_as_what_is_left_allows() -> None:
    labels = np.where(TRAIN.labels < 5, 0, TRAIN.labels)  # half of all samples are of one class
    rare = np.flatnonzero(labels == 9)[20:]
    train = replace(TRAIN, labels=labels, usable=np.setdiff1d(TRAIN.usable, rare))
    given = {"tier": "device", "context": "upright", "sample_id": f"train-{rare[0]:06d}"}
    frame = pd.DataFrame([given])
    [index] = unused(train, frame, MADE, 320, 0).values()
    counts = dict(zip(*np.unique(labels[index], return_counts=True), strict=True))
    assert counts == {0: 60, 5: 60, 6: 60, 7: 60, 8: 60, 9: 20}


def test_what_appears_twice_is_given_out_once() -> None:
    train = replace(TRAIN, usable=np.arange(1000))
    frame = partition(train, TEST, [device(0)], PLAN, 0)
    [index] = unused(train, frame, Contexts(), 100_000, 0).values()
    assert index.max() < 1000


def test_rows_say_what_reading_them_needs() -> None:
    rows = rows_of(TRAIN, np.array([7, 3]), "rotated")
    assert rows["sample_id"].tolist() == ["train-000007", "train-000003"]
    assert rows["sha256"].tolist() == TRAIN.sha256[[7, 3]].tolist()
    assert set(rows["context"]) == {"rotated"}
