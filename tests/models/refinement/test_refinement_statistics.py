"""What a device says of its data, and the virtual samples that are made of that."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.header.split import Split
from models.refinement.basis import fit_basis, tokens_read
from models.refinement.exchange import Body
from models.refinement.statistics import (
    FINE,
    LEAST,
    MOST,
    PRIOR,
    SCHEMA,
    Statistics,
    check,
    described,
    draw,
)
from tests.models.refinement.made_up import CONFIG, world

SEEDS = st.integers(0, 10_000)


def wrong(body: Body) -> list[str]:
    """What the schema says against a body."""
    return [f"{name} {why}" for name, of in SCHEMA.items() if (why := of.wrong(body[name]))]


def test_statistics_literally():
    made = world()
    basis, data = made.basis(), made.split(4, 0, (0, 2)).join(made.split(9, 0, (1,)))
    found, withheld = described(data, basis)
    assert found.labels.tolist() == [0, 1, 2]
    assert withheld == []
    z = basis.coordinates(data)
    means = {c: z[data.labels == c].mean(0) for c in range(3)}
    squares = [0.0] * basis.rank
    for value, label in zip(z, data.labels.tolist(), strict=True):
        for k in range(basis.rank):
            squares[k] += float(value[k] - means[label][k]) ** 2
    for c in range(3):
        torch.testing.assert_close(found.means[c], means[c])
    for k in range(basis.rank):
        expected = (squares[k] + PRIOR) / (3 + 8 + 3 + PRIOR)
        assert found.variance[k] == pytest.approx(expected, rel=1e-4)


@given(st.integers(LEAST, 5000))
def test_counts_are_told_to_the_nearest_power_of_the_root_of_two(count: int):
    labels = torch.zeros(count, dtype=torch.long)
    basis = world().basis(1)
    [told] = described(Split(torch.zeros(count, 2, 5, 8), labels), basis)[0].counts.tolist()
    assert math.log2(told) * 2 == pytest.approx(round(math.log2(told) * 2), abs=1e-5)
    assert abs(math.log2(told / count)) <= 0.25 + 1e-6


def test_of_classes_with_few_samples_nothing_is_said_but_which_they_are():
    made = world()
    data = made.split(2, 0, (0, 3)).join(made.split(3, 0, (1,)))
    found, withheld = described(data, made.basis())
    assert found.labels.tolist() == [1]
    assert withheld == [0, 3]
    nothing, withheld = described(data.at(data.labels != 1), made.basis())
    assert withheld == [0, 3]
    assert not wrong(nothing.body())
    assert check(nothing.body(), 4, 6) is None
    assert len(draw([nothing], made.basis(), data, torch.Generator()).labels) == 0
    assert len(draw([], made.basis(), data, torch.Generator()).labels) == 0


@given(SEEDS)
def test_the_order_of_samples_says_nothing(seed: int):
    made = world(seed)
    data, basis = made.split(5, 1), made.basis()
    order = torch.randperm(len(data.labels), generator=made.stream)
    one, other = described(data, basis)[0], described(data.at(order), basis)[0]
    for name in ("labels", "counts", "means", "variance"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name))


@given(SEEDS, st.sampled_from([3, 7, 60]))
def test_what_is_sent_is_within_bounds_and_comes_back_but_for_rounding(seed: int, count: int):
    made = world(seed)
    basis = made.basis()
    found, _ = described(made.split(count, 2), basis)
    body = found.body()
    assert not wrong(body)
    assert check(body, 4, basis.rank) is None
    back = Statistics.from_body(body)
    assert torch.equal(back.labels, found.labels)
    torch.testing.assert_close(back.counts, found.counts)
    within = found.means.clamp(-MOST / FINE, MOST / FINE)
    assert (back.means - within).abs().max() <= 0.5 / FINE + 1e-5
    assert (back.variance / found.variance).log2().abs().max() <= 0.5 / FINE + 1e-5
    again = back.body()
    assert all(torch.equal(again[name], body[name]) for name in body), "rounded once"


def test_the_bytes_of_a_body():
    made = world()
    body = described(made.split(6, 0), made.basis(6))[0].body()
    assert sum(tensor.nbytes for tensor in body.values()) == 3 * (6 + 3) + 6


@pytest.mark.parametrize("scale", [0.0, 1e9])
def test_whatever_data_a_device_has_it_says_nothing_out_of_bounds(scale: float):
    made = world()
    data = made.split(5, 0)
    odd = replace(data, features=scale * data.features)
    body = described(odd, made.basis())[0].body()
    assert not wrong(body)
    assert check(body, 4, 6) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"means": torch.full((3, 6), -128)}, "means has values outside -127 to 127"),
        ({"variance": torch.full((6,), -128)}, "variance has values outside -127 to 127"),
        ({"counts": torch.tensor([2, 3, 4], dtype=torch.uint8)}, "counts has values outside 3 to"),
        ({"labels": torch.tensor([-1, 0, 1], dtype=torch.int16)}, "labels has values outside 0"),
    ],
)
def test_what_no_honest_device_says_is_out_of_bounds(change: Body, reason: str):
    made = world()
    body = dict(described(made.split(6, 0), made.basis())[0].body())
    for name, tensor in change.items():
        body[name] = tensor.to(SCHEMA[name].dtype)
    assert [text.startswith(reason) for text in wrong(body)] == [True], wrong(body)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"labels": torch.tensor([0, 2, 1])}, "names classes [0, 2, 1], not ascending ones of 4"),
        ({"labels": torch.tensor([0, 1, 1])}, "names classes [0, 1, 1], not ascending ones of 4"),
        ({"labels": torch.tensor([0, 1, 4])}, "names classes [0, 1, 4], not ascending ones of 4"),
        ({"counts": torch.tensor([9, 9])}, "has 2 counts for 3 classes"),
        ({"means": torch.zeros(3, 5)}, "has means of shape (3, 5), expected (3, 6)"),
        ({"variance": torch.ones(5)}, "has variance of shape (5,), expected (6,)"),
    ],
)
def test_statistics_that_do_not_hang_together_are_refused(change: Body, reason: str):
    made = world()
    body = dict(described(made.split(6, 0), made.basis())[0].body())
    assert check(body, 4, 6) is None
    for name, tensor in change.items():
        body[name] = tensor.to(SCHEMA[name].dtype)
    assert check(body, 4, 6) == reason


def test_virtual_samples_have_the_moments_that_were_described():
    made = world()
    basis, own = made.basis(5), made.split(9, 1)
    told = described(made.split(40, 1), basis)[0]
    many = replace(told, counts=torch.full((3,), 20_000.0))
    drawn = draw([many], basis, own, torch.Generator().manual_seed(0))
    assert drawn.features.shape == (60_000, 2, 5, 8)
    assert drawn.mask is None
    z = basis.coordinates(drawn)
    for c in range(3):
        one = z[drawn.labels == c]
        torch.testing.assert_close(one.mean(0), told.means[c], rtol=0.02, atol=0.02)
        torch.testing.assert_close(one.var(0), told.variance, rtol=0.04, atol=0.0)
        torch.testing.assert_close(torch.corrcoef(one.T), basis.correlation, rtol=0, atol=0.03)
    outside = torch.eye(8) - basis.directions.T @ basis.directions
    beside = (drawn.features[:, 0, 0] - basis.mean) @ outside
    expected = (outside @ basis.spread.pow(2).diag() @ outside).diagonal()
    torch.testing.assert_close(beside.var(0), expected, rtol=0.05, atol=1e-4)
    middle = torch.stack([own.features[own.labels == c, 0, 0].mean(0) for c in range(3)]).mean(0)
    torch.testing.assert_close(
        beside.mean(0), (middle - basis.mean) @ outside, rtol=0.05, atol=0.02
    )


def test_virtual_samples_are_as_many_as_told_and_a_class_that_is_lacking_as_the_largest():
    made = world()
    basis, own = made.basis(), made.split(6, 0, (0, 1))
    told = [described(made.split(n, 0, c), basis)[0] for n, c in ((4, (0, 1, 3)), (16, (1, 2, 3)))]
    drawn = draw(told, basis, own, torch.Generator().manual_seed(3))
    # of class 1 there are 6 own samples, and 4 and 16 virtual ones
    expected = [0] * 4 + [1] * 4 + [3] * round(26 / 5) + [1] * 16 + [2] * 26 + [3] * round(104 / 5)
    assert drawn.labels.tolist() == expected
    again = draw(told, basis, own, torch.Generator().manual_seed(3))
    assert torch.equal(drawn.features, again.features)


def test_virtual_samples_of_padded_data_join_the_padded_ones():
    made = world()
    data, config = made.split(20, 0), replace(CONFIG, kind="mean-pool", shape=(4,))
    texts = replace(data, mask=torch.arange(5).expand(len(data.labels), 5) < 4)
    basis = fit_basis(texts, tokens_read(config), 6)
    drawn = draw([described(texts, basis)[0]], basis, texts, torch.Generator().manual_seed(0))
    assert drawn.mask is not None
    assert drawn.mask.all()
    assert texts.join(drawn).features.shape == (60 + 3 * 23, 2, 5, 8)
