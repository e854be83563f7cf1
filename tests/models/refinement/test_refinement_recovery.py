"""Recovery of contexts against a slow literal count, and at its ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.refinement.recovery import recovery

fleets = st.lists(st.sampled_from("abc"), min_size=1, max_size=6)


@given(st.lists(fleets, min_size=1, max_size=3), st.integers(0, 99))
def test_it_is_what_a_literal_count_gives(clusters: list[list[str]], seed: int) -> None:
    stream, shares, chances, given_to = np.random.default_rng(seed), [], [], []
    for contexts in clusters:
        weights = stream.random((len(contexts), len(contexts)))
        given_to.append((weights, contexts))
        for i, mine in enumerate(contexts):
            peers = [j for j in range(len(contexts)) if j != i]
            alike = [j for j in peers if contexts[j] == mine]
            if alike and len(alike) < len(peers):
                shares.append(sum(weights[i, j] for j in alike) / sum(weights[i, j] for j in peers))
                chances.append(len(alike) / len(peers))
    found = recovery(given_to)
    if not shares:
        assert found is None
        return
    assert found is not None
    assert found.devices == len(shares)
    assert found.share == pytest.approx(np.mean(shares))
    assert found.chance == pytest.approx(np.mean(chances))


def test_equal_weights_are_chance_and_listening_to_one_s_own_is_all() -> None:
    contexts = ["a", "a", "b", "b"]
    equal = recovery([(np.full((4, 4), 0.25), contexts)])
    assert equal is not None
    assert equal.share == pytest.approx(equal.chance) == pytest.approx(1 / 3)
    own = np.array([[0.9, 0.1, 0, 0], [0.1, 0.9, 0, 0], [0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5]])
    assert recovery([(own, contexts)]).share == 1  # type: ignore[union-attr]
    deaf = recovery([(np.eye(4), contexts)])
    assert deaf is None
