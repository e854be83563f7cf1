"""How well attacks do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.privacy.scores import area, learned, weighed


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=12))
def test_the_area_is_the_share_of_pairs_in_order_literally(cases: list[tuple[int, bool]]) -> None:
    scores = np.array([float(score) for score, _ in cases])
    truth = np.array([true for _, true in cases])
    pairs = list(itertools.product(scores[truth], scores[~truth]))
    if not pairs:
        assert area(scores, truth) is None
    else:
        expected = np.mean([(a > b) + 0.5 * (a == b) for a, b in pairs])
        assert area(scores, truth) == pytest.approx(expected)


def test_what_numbers_say_is_learned_and_what_never_moves_is_left_out() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(60, 8))
    vectors[:, 3] = 7.0
    targets = vectors[:, :2] @ np.array([[1.0, 2.0], [-1.0, 0.5]])
    fresh = random.normal(size=(20, 8))
    expected = fresh[:, :2] @ np.array([[1.0, 2.0], [-1.0, 0.5]])
    found = learned(vectors, targets)(fresh)
    assert np.corrcoef(found[:, 0], expected[:, 0])[0, 1] > 0.98
    assert np.abs(learned(vectors, random.normal(size=(60, 2)))(fresh)).mean() < 0.5


def test_evidence_speaks_for_what_it_spoke_for_among_shadows() -> None:
    random = np.random.default_rng(0)
    truth = np.arange(200) % 2 == 0
    evidence = np.stack([random.normal(size=200), random.normal(size=200) - 2 * truth], 1)
    score = weighed(evidence, truth)
    judged = area(score(evidence), truth)
    assert judged is not None
    assert judged > 0.85
