"""The plain CNN beside the reference, and when it is shown to be better."""

from __future__ import annotations

import pytest
import torch

from models.backbone.chance import LEVEL, better
from models.backbone.size import parameter_count
from models.baselines.cnn import plain_cnn


@pytest.mark.parametrize(("channels", "classes"), [(1, 10), (3, 60)])
def test_its_parameters_by_hand(channels: int, classes: int) -> None:
    kernels = 9 * (channels * 32 + 32 * 64 + 64 * 96)
    norms, head = 2 * (32 + 64 + 96), 97 * classes
    count = parameter_count(plain_cnn(channels, classes, 0))
    assert count == kernels + norms + head
    assert 75_000 < count < 82_000


@pytest.mark.parametrize("side", [4, 8, 28, 33, 64])
def test_it_takes_images_of_any_size(side: int) -> None:
    cnn = plain_cnn(1, 5, 0).eval()
    assert cnn(torch.zeros(2, 1, side, side)).shape == (2, 5)
    assert not torch.equal(cnn.head.weight, plain_cnn(1, 5, 1).head.weight)


def test_it_draws_from_no_stream_but_its_own() -> None:
    torch.manual_seed(0)
    alone = torch.rand(3)
    torch.manual_seed(0)
    plain_cnn(1, 5, seed=7)
    assert torch.equal(torch.rand(3), alone)


@pytest.mark.parametrize(
    ("alone", "otherwise", "shown"), [(7, 0, True), (6, 0, False), (30, 20, False), (40, 18, True)]
)
def test_better_is_more_than_noise(alone: int, otherwise: int, shown: bool) -> None:
    """By coins: how often as many heads or more come up among so many throws."""
    from scipy.stats import binomtest

    right = torch.tensor([1] * alone + [0] * otherwise + [1] * 50 + [0] * 9, dtype=torch.bool)
    other = torch.tensor([0] * alone + [1] * otherwise + [1] * 50 + [0] * 9, dtype=torch.bool)
    p = binomtest(alone, alone + otherwise, alternative="greater").pvalue
    assert better(right, other) == (p < LEVEL) == shown
    assert not better(other, right)


def test_equal_models_are_not_better() -> None:
    same = torch.tensor([True, False])
    assert not better(same, same)
