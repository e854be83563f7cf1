"""Which neurons go."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.header.build import build_header, neurons
from models.header.config import HeaderConfig
from models.refinement.pruning import alive_of, apply_masks, choose

CONFIG = HeaderConfig("mixer", dim=4, shape=(2, 2), classes=3, channels=5, hidden=6)


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int, list[int], int]:
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    total = sum(sizes)
    flags = st.lists(st.booleans(), min_size=total, max_size=total)
    values = st.lists(st.sampled_from([0.0, 0.1, 0.1, 0.5, 2.0]), min_size=total, max_size=total)
    return (
        np.array(draw(values)),
        np.array(draw(flags)),
        draw(st.integers(0, total + 2)),
        sizes,
        draw(st.integers(0, 4)),
    )


def _layers(sizes: list[int]) -> np.ndarray:
    return np.array([layer for layer, size in enumerate(sizes) for _ in range(size)])


def _literal(importance, alive, count, sizes, least) -> list[bool]:
    """Discard one neuron at a time: the least important of those that may still go."""
    kept, layer = list(alive), _layers(sizes)
    for _ in range(count):
        free = [
            r
            for r in range(len(kept))
            if kept[r] and sum(kept[q] for q in range(len(kept)) if layer[q] == layer[r]) > least
        ]
        if not free:
            break
        kept[min(free, key=lambda r: (importance[r], r))] = False
    return kept


@given(cases())
def test_choose_is_discarding_one_by_one(case):
    assert choose(*case).tolist() == _literal(*case)


@given(cases())
def test_laws_of_pruning(case):
    _, alive, count, sizes, least = case
    before, kept = alive.copy(), choose(*case)
    layer = _layers(sizes)
    assert (alive == before).all(), "the argument must stay as it was"
    assert not (kept & ~alive).any(), "nothing comes back to life"
    left = np.bincount(layer[kept], minlength=len(sizes))
    had = np.bincount(layer[alive], minlength=len(sizes))
    assert (left >= np.minimum(had, least)).all()
    possible = int(np.maximum(had - least, 0).sum())
    assert alive.sum() - kept.sum() == min(count, possible)


@given(cases(), st.integers(0, 5))
def test_discarding_more_keeps_a_subset(case, more: int):
    importance, alive, count, sizes, least = case
    fewer = choose(importance, alive, count + more, sizes, least)
    assert not (fewer & ~choose(importance, alive, count, sizes, least)).any()


def test_ties_go_by_index():
    kept = choose(np.zeros(4), np.ones(4, dtype=bool), 2, [4], 1)
    assert kept.tolist() == [False, False, True, True]


def test_a_header_without_prunable_neurons_stays():
    header = build_header(HeaderConfig("linear", 4, (2, 2), 3, 5, 6))
    alive = choose(np.zeros(0), alive_of(header), 0, [], 4)
    apply_masks(header, alive)
    assert alive.shape == (0,)


@pytest.mark.parametrize("sizes", [[4], [3, 3]])
def test_sets_of_another_length_are_refused(sizes: list[int]):
    with pytest.raises(ValueError, match=f"5 importances and 5 alive flags for {sum(sizes)} neur"):
        choose(np.ones(5), np.ones(5, dtype=bool), 1, sizes, 0)


@given(st.integers(0, 1000))
def test_masks_come_back_as_they_were_applied(seed: int):
    header = build_header(CONFIG)
    alive = np.random.default_rng(seed).random(sum(neurons(header).values())) < 0.6
    apply_masks(header, alive)
    assert (alive_of(header) == alive).all()
    start = 0
    for name, size in neurons(header).items():
        mask = header.get_submodule(name).mask
        assert mask.tolist() == alive[start : start + size].astype(float).tolist()
        start += size


def test_masked_neurons_do_not_reach_the_logits():
    header = build_header(CONFIG)
    alive = np.ones(sum(neurons(header).values()), dtype=bool)
    alive[7] = False  # a neuron of token_out
    apply_masks(header, alive)
    x = torch.randn(3, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = header(x)
        header.get_submodule("token_out").weight[1] += 5
        assert torch.equal(header(x), before)
        header.get_submodule("token_out").weight[2] += 5
        assert not torch.equal(header(x), before)
