"""Who listens to whom, and what a liar can do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.header.split import Split
from models.refinement.basis import Basis, fit_basis, tokens_read
from models.refinement.peers import (
    ERRORS,
    LOUDEST,
    alike,
    bounded,
    crossed,
    distance,
    is_alike,
    noise,
    shift,
)
from models.refinement.statistics import SCHEMA, Statistics, check, described, draw
from tests.models.refinement.made_up import CONFIG, World, accuracy, fitted, world

SEEDS = st.integers(0, 10_000)


def _told(data: Split, basis: Basis) -> Statistics:
    return Statistics.from_body(described(data, basis)[0].body())


def _fleet(made: World, basis: Basis, count: int = 12) -> list[Statistics]:
    """Devices 0, 1, 4 see one way, 2 and 3 another, 5 a third."""
    return [_told(made.split(count, context), basis) for context in (0, 0, 1, 1, 0, 2)]


def _literal(a: Statistics, b: Statistics, pairs: list[tuple[int, int]]) -> float:
    rank, total, weights = a.means.shape[1], 0.0, 0.0
    for i, j in pairs:
        chance = 1 / float(a.counts[i]) + 1 / float(b.counts[j])
        apart = -rank * chance
        for k in range(rank):
            apart += float(a.means[i, k] - b.means[j, k]) ** 2 / float(a.variance[k])
        total, weights = total + apart / chance, weights + 1 / chance
    return total / weights


def _two(seed: int) -> tuple[Statistics, Statistics]:
    """Of classes 0, 1 and 3, of 1, 2 and 3: their second is the other's first, their last ones are
    the same."""
    made = world(seed)
    basis = made.basis()
    a = _told(made.split(4, 0, (0, 1)).join(made.split(9, 0, (3,))), basis)
    return a, _told(made.split(6, 1, (1, 2, 3)), basis)


@given(SEEDS)
def test_distances_literally(seed: int):
    a, b = _two(seed)
    assert distance(a, b) == pytest.approx(_literal(a, b, [(1, 0), (2, 2)]), rel=1e-3)
    assert crossed(a, a) == pytest.approx(_literal(a, a, [(0, 1), (0, 2), (1, 2)]), rel=1e-3)
    others = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 0), (2, 1)]
    assert crossed(a, b) == pytest.approx(_literal(a, b, others), rel=1e-3)
    assert distance(a, replace(b, labels=torch.tensor([2, 5, 6]))) == math.inf


@given(SEEDS)
def test_shifts_literally(seed: int):
    a, b = _two(seed)
    rank, weights = len(a.variance), 0.0
    moved = [0.0] * rank
    for i, j in ((1, 0), (2, 2)):
        weight = 1 / (1 / float(a.counts[i]) + 1 / float(b.counts[j]))
        weights += weight
        for k in range(rank):
            moved[k] += weight * float(a.means[i, k] - b.means[j, k])
    expected = -rank / weights
    for k in range(rank):
        expected += (moved[k] / weights) ** 2 / float(a.variance[k])
    assert shift(a, b) == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert shift(a, replace(b, labels=torch.tensor([2, 5, 6]))) == math.inf


def test_a_shift_of_all_classes_is_told_where_the_distance_of_each_is_not():
    """Of few samples: what moves each class as far as chance does moves their mean much farther."""
    heard = shifted = by_distance = 0
    for seed in range(40):
        made = world(seed, apart=0.6)
        basis = made.basis()
        own, twin = (_told(made.split(4, 0), basis) for _ in range(2))
        error = noise(own, twin, basis)
        step = torch.full_like(own.variance, 2 * error / len(own.variance))
        moved = replace(twin, means=twin.means + (step * own.variance).sqrt())
        heard += is_alike(own, twin, basis)
        shifted += is_alike(own, moved, basis)
        by_distance += distance(own, moved) <= ERRORS * error
    assert heard >= 24
    assert shifted <= 6 < 12 <= by_distance


def test_chance_is_taken_off_at_any_number_of_samples_and_no_more_than_it_varies():
    made = world()
    basis = made.basis()
    for count in (4, 32):
        found = [[_told(made.split(count, None), basis) for _ in range(2)] for _ in range(200)]
        error = noise(*found[0], basis)
        classes = len(found[0][0].labels)
        for measure, expected in ((distance, error), (shift, error / math.sqrt(classes))):
            apart = torch.tensor([measure(a, b) for a, b in found])
            assert abs(float(apart.mean())) < 0.35 * expected
            assert float(apart.std()) == pytest.approx(expected, rel=0.3)


def test_the_noise_of_a_distance_literally():
    made = world()
    basis = made.basis()
    a, b = _told(made.split(4, 0), basis), _told(made.split(16, 0, (1, 2)), basis)
    squares = sum(float(c) ** 2 for row in basis.correlation for c in row)
    # of each class: a chi squared's variance, over what its classes weigh
    chance, classes = 1 / 4 + 1 / 16, 2
    expected = math.sqrt(2 * squares * classes) * chance / classes
    assert noise(a, b, basis) == pytest.approx(expected, rel=1e-4)


def test_devices_that_see_alike_are_found_and_no_others():
    made = world()
    found = alike(_fleet(made, basis := made.basis()), basis)
    expected = np.zeros((6, 6))
    for group in ((0, 1, 4), (2, 3)):
        for i in group:
            expected[i, [j for j in group if j != i]] = 1 / (len(group) - 1)
    np.testing.assert_allclose(found, expected)


def test_who_says_nothing_in_particular_is_no_peer_where_chance_alone_would_let_it_pass():
    """Of classes close to each other, and few samples: a twin is heard, zeros are not."""
    twins = zeros = by_chance = 0
    for seed in range(40):
        made = world(seed, apart=0.6)
        basis = made.basis()
        own, twin = (_told(made.split(4), basis) for _ in range(2))
        empty = replace(twin, means=torch.zeros_like(twin.means))
        heard = alike([own, twin, empty], basis)[0] > 0
        twins, zeros = twins + heard[1], zeros + heard[2]
        by_chance += distance(own, empty) <= ERRORS * noise(own, empty, basis)
    assert twins >= 28
    assert zeros <= 6 < 30 <= by_chance


def test_who_shares_no_class_or_says_nothing_is_no_peer():
    made = world()
    basis = made.basis()
    one, other = _told(made.split(9, 0, (0, 1)), basis), _told(made.split(9, 0, (2, 3)), basis)
    nothing = _told(made.split(2, 0), basis)
    assert not alike([one, other, nothing], basis).any()


@settings(max_examples=10)
@given(SEEDS, st.permutations(range(6)))
def test_renaming_the_devices_renames_their_peers(seed: int, order: list[int]):
    made = world(seed)
    basis = made.basis()
    fleet = _fleet(made, basis)
    renamed = alike([fleet[i] for i in order], basis)
    np.testing.assert_array_equal(renamed, alike(fleet, basis)[np.ix_(order, order)])


@settings(max_examples=10)
@given(SEEDS, st.sampled_from([1e-3, 0.1, 7.0, 1e3]))
def test_the_scale_of_features_does_not_change_who_is_alike(seed: int, factor: float):
    made = world(seed)
    public = made.split(60, classes=(0, 1, 2, 3))
    data = [made.split(12, context) for context in (0, 0, 1, 1)]

    def found(by: float) -> np.ndarray:
        scaled = [replace(split, features=by * split.features) for split in (public, *data)]
        basis = fit_basis(scaled[0], tokens_read(CONFIG), 6)
        return alike([_told(split, basis) for split in scaled[1:]], basis)

    np.testing.assert_array_equal(found(factor), found(1.0))


def test_nothing_is_louder_than_a_few_times_the_listener_or_the_median():
    made = world()
    basis = made.basis()
    own, peer = _told(made.split(4, 0), basis), _told(made.split(16, 0), basis)
    liar = replace(peer, counts=torch.full((3,), 2.0**20))
    [alone] = bounded(own, [liar])
    assert alone.counts.tolist() == [LOUDEST * 4] * 3
    rich = replace(peer, counts=torch.full((3,), 64.0))
    among = bounded(own, [rich, liar, rich])
    assert [each.counts.tolist() for each in among] == [[64] * 3] * 3, "what most have"
    assert bounded(own, [own])[0].counts.tolist() == own.counts.tolist()
    assert bounded(own, []) == []


Lie = Callable[[Statistics, Statistics], Statistics]
"""What a liar says, who knows what one says that sees like most, and one that sees otherwise."""

LIES: dict[str, Lie] = {
    "inverted": lambda here, there: replace(here, means=-here.means),
    "a million times": lambda here, there: replace(here, means=1e6 * here.means),
    "many": lambda here, there: replace(here, counts=torch.full((3,), 2.0**20)),
    "many and inverted": lambda here, there: replace(LIES["many"](here, there), means=-here.means),
    "wide and inverted": lambda here, there: replace(
        here, means=-here.means, variance=torch.full_like(here.variance, 4096.0)
    ),
    "constant": lambda here, there: replace(here, means=torch.full_like(here.means, 3.0)),
    "zeros": lambda here, there: replace(here, means=torch.zeros_like(here.means)),
    "others' labels": lambda here, there: replace(here, means=here.means.roll(1, 0)),
    "copied": lambda here, there: here,
    "copied from elsewhere": lambda here, there: there,
}
WORLDS = 8


@pytest.mark.parametrize("honest", [3, 4])
@pytest.mark.parametrize("lie", LIES)
def test_one_liar_of_4_or_of_5_costs_the_others_no_more_than_a_point(lie: str, honest: int):
    """On the mean over devices and worlds: the accuracy of headers that learned from own samples,
    few and not of all classes, and from virtual ones of the peers."""
    before, after = [], []
    for seed in range(WORLDS):
        made = world(seed)
        basis, contexts = made.basis(), (0, 0, 1, 0)[:honest]
        classes = ((0, 1), (0, 1, 2), (0, 1), (0, 1, 2))
        data = [made.split(6, c, k) for c, k in zip(contexts, classes, strict=False)]
        tests = [made.split(60, c) for c in contexts]
        told = [_told(split, basis) for split in data]
        body = LIES[lie](told[1], _told(made.split(6, 1), basis)).body()
        refused = any(of.wrong(body[n]) for n, of in SCHEMA.items()) or check(body, 4, basis.rank)
        assert not refused, "no lie can be told apart by its form"
        before += _accuracies(data, told, tests, basis)
        after += _accuracies(data, [*told, Statistics.from_body(body)], tests, basis)
    assert np.mean(after) >= np.mean(before) - 0.01, (np.mean(before), np.mean(after))


def _accuracies(
    data: list[Split], told: list[Statistics], tests: list[Split], basis: Basis
) -> list[float]:
    found = []
    weights = alike(told, basis)
    for i, (own, test) in enumerate(zip(data, tests, strict=True)):
        peers = bounded(told[i], [told[j] for j in np.flatnonzero(weights[i])])
        streams = [torch.Generator().manual_seed(seed) for seed in range(4)]
        virtual = [draw(peers, basis, own, stream) for stream in streams]
        found += [accuracy(fitted(own.join(drawn)), test) for drawn in virtual]
    return found
