"""Header differences: how they travel, and what is made of several."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.refinement.differences import LEVELS, SCHEMA, check, mixed, packed, unpacked

SEEDS = st.integers(0, 10_000)


def _parts(seed: int) -> list[torch.Tensor]:
    stream = torch.Generator().manual_seed(seed)
    return [
        torch.randn(4, 3, generator=stream),
        1e-4 * torch.randn(5, generator=stream),
        torch.zeros(2),
        torch.tensor(30.0) * torch.rand((), generator=stream),
    ]


@given(SEEDS)
def test_a_difference_is_rounded_to_127_steps_a_side_of_its_tensor(seed: int):
    parts = _parts(seed)
    body, left = packed(parts)
    assert not [why for name, of in SCHEMA.items() if (why := of.wrong(body[name]))]
    assert check(body, [12, 5, 2, 1]) is None
    found = unpacked(body).split([12, 5, 2, 1])
    for part, back, rest in zip(parts, found, left.split([12, 5, 2, 1]), strict=True):
        scale = float(part.abs().max()) / LEVELS
        for value, sent, over in zip(part.flatten(), back, rest, strict=True):
            expected = round(float(value) / scale) * scale if scale else 0.0
            assert float(sent) == pytest.approx(expected, abs=1e-6 + 1e-5 * abs(expected))
            assert float(over) == pytest.approx(float(value - sent), abs=1e-6)


@given(SEEDS, st.integers(1, 12))
def test_with_the_error_fed_back_the_sum_of_what_is_sent_follows_the_sum_of_differences(
    seed: int, rounds: int
):
    sizes, left = [12, 5, 2, 1], None
    sent, meant = torch.zeros(20), torch.zeros(20)
    for turn in range(rounds):
        parts = _parts(seed + turn)
        body, left = packed(parts, left)
        sent, meant = sent + unpacked(body), meant + torch.cat([p.flatten() for p in parts])
        scale = body["scales"].repeat_interleave(torch.tensor(sizes))
        assert ((sent - meant).abs() <= scale * 0.5 + 1e-4).all()


def test_without_it_what_is_small_beside_its_tensor_is_never_sent():
    small = [torch.tensor([100.0, 0.1])]
    alone = sum(unpacked(packed(small)[0]) for _ in range(20))
    left, fed = None, torch.zeros(2)
    for _ in range(20):
        body, left = packed(small, left)
        fed = fed + unpacked(body)
    assert alone[1] == 0
    assert fed[1] == pytest.approx(2, abs=0.5)


def test_a_byte_a_value_and_eight_a_tensor():
    body, _ = packed(_parts(0))
    assert sum(tensor.nbytes for tensor in body.values()) == 20 + 4 * 8


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ([12, 5, 3], "is of 4 other tensors than the header's 3"),
        ([12, 5, 1, 2], "is of 4 other tensors than the header's 4"),
    ],
)
def test_another_header_s_difference_is_refused(sizes: list[int], reason: str):
    assert check(packed(_parts(0))[0], sizes) == reason


def test_a_difference_of_too_few_values_is_refused():
    body = {**packed(_parts(0))[0], "differences": torch.zeros(19, dtype=torch.int8)}
    assert check(body, [12, 5, 2, 1]) == "has 19 values, expected 20"


def _alike(count: int, seed: int = 0, values: int = 400, noise: float = 1.0) -> list[torch.Tensor]:
    stream = torch.Generator().manual_seed(seed)
    common = torch.randn(values, generator=stream)
    return [common + noise * torch.randn(values, generator=stream) for _ in range(count)]


def _bodies(differences: list[torch.Tensor]):
    return [packed([d])[0] for d in differences]


@given(SEEDS, st.integers(2, 5))
def test_the_mix_of_differences_that_agree_literally(seed: int, count: int):
    """The weighted mean; with three or more, of values between the others'."""
    found = [d / d.norm() for d in _alike(count, seed, values=30, noise=0.3)]
    weights = np.random.default_rng(seed).dirichlet(np.ones(count), count)
    mix = mixed(_bodies(found), weights)
    for i in range(count):
        for k in range(30):
            values = sorted(float(d[k]) for d in found)
            low, high = (values[1], values[-2]) if count > 2 else (values[0], values[-1])
            expected = sum(
                weights[i, j] * (float(d[k]) if i == j else min(max(float(d[k]), low), high))
                for j, d in enumerate(found)
            )
            assert float(mix[i, k]) == pytest.approx(expected, abs=0.01)


@given(SEEDS, st.permutations(range(4)))
def test_renaming_the_devices_renames_what_they_get(seed: int, order: list[int]):
    bodies = _bodies(_alike(4, seed))
    weights = np.random.default_rng(seed).dirichlet(np.ones(4), 4)
    renamed = mixed([bodies[i] for i in order], weights[np.ix_(order, order)])
    torch.testing.assert_close(renamed, mixed(bodies, weights)[list(order)])


LIES = {
    "inverted": lambda honest: -honest[0],
    "a million times": lambda honest: 1e6 * honest[0],
    "constant": lambda honest: torch.full_like(honest[0], 900.0),
    "zeros": lambda honest: torch.zeros_like(honest[0]),
    "copied": lambda honest: honest[1].clone(),
}


@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.parametrize("lie", LIES)
def test_one_liar_moves_what_others_get_by_no_more_than_another_honest_device(lie, count):
    """What all share stays as near as it was: the mix's error is at most a tenth larger."""
    honest = _alike(count)
    common = torch.randn(400, generator=torch.Generator().manual_seed(0))

    def errors(differences: list[torch.Tensor]) -> torch.Tensor:
        weights = np.full((len(differences),) * 2, 1 / len(differences))
        return (mixed(_bodies(differences), weights)[:count] - common).norm(dim=1)

    before, after = errors(honest), errors([*honest, LIES[lie](honest)])
    assert (after <= 1.1 * before).all(), (before, after)


def test_who_changed_nothing_listens_by_its_weights_and_is_as_good_as_absent():
    one, other = _alike(2)
    nothing = torch.zeros(400)
    both = mixed(_bodies([one, other]), np.full((2, 2), 0.5))
    mix = mixed(_bodies([one, other, nothing]), np.full((3, 3), 1 / 3))
    torch.testing.assert_close(mix, both[[0, 1, 0]])
    assert not mixed(_bodies([nothing] * 3), np.full((3, 3), 1 / 3)).any()


def test_who_has_nobody_left_to_listen_to_keeps_what_it_learned():
    one, others = _alike(1)[0], np.array([[0.0, 1.0], [1.0, 0.0]])
    for peer in (torch.zeros(400), -one):
        mix = mixed(_bodies([one, peer]), others)
        torch.testing.assert_close(mix[0], one, rtol=0.05, atol=0.02)


def test_a_liar_that_turned_only_a_part_is_not_heard_either():
    """Its cosine to the others is the inverse of theirs: that of half of a difference."""
    one, other = _alike(2)
    cosine = float(torch.nn.functional.cosine_similarity(one, other, 0))
    assert 0.4 < cosine < 0.6
    mix = mixed(_bodies([one, -other]), np.full((2, 2), 0.5))
    torch.testing.assert_close(mix[0], one, rtol=0.05, atol=0.02)


def test_opposed_differences_are_left_to_those_who_made_them():
    one = _alike(1)[0]
    mix = mixed(_bodies([one, -one]), np.array([[0.2, 0.8], [0.8, 0.2]]))
    torch.testing.assert_close(mix[0], one, rtol=0.05, atol=0.02)
    torch.testing.assert_close(mix[1], -one, rtol=0.05, atol=0.02)
    assert math.isclose(float(mix[0].norm()), float(one.norm()), rel_tol=0.01)
