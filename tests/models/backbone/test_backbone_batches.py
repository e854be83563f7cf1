"""Models over many inputs: what comes out is what one pass over all of them gives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from models.backbone.batches import AT_ONCE, MOST, in_batches
from models.backbone.config import build
from models.backbone.families.vit import ViTConfig


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 4))
def test_every_input_is_read_once_and_in_order(count: int, most: int, threads: int) -> None:
    torch.set_num_threads(threads)
    inputs, seen = torch.arange(count), nn.Linear(1, 1)
    assert torch.equal(torch.cat(in_batches(seen, lambda x: x * 2, inputs, most)), inputs * 2)
    assert torch.get_num_threads() == threads


def test_batches_are_as_large_as_asked_at_most_and_need_no_gradients() -> None:
    torch.set_num_threads(2)
    model, sizes = nn.Linear(3, 2), list[int]()

    def read(x: Tensor) -> Tensor:
        sizes.append(len(x))
        return model(x)

    found = in_batches(model, read, torch.zeros(11, 3), 4)
    assert not any(out.requires_grad for out in found)
    assert sorted(sizes) == [3, 4, 4]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_batch_fits_caches_and_there_is_one_for_each_thread(threads: int) -> None:
    torch.set_num_threads(threads)
    wide = ViTConfig(
        image_size=32, patch_size=8, channels=1, classes=3, dim=1000, depth=1, heads=2,
        head_dim=4, mlp_hidden=8,
    )  # fmt: skip
    vit = build(wide).eval()
    sizes = in_batches(vit, len, torch.zeros(60, 1, 32, 32))
    assert max(sizes) == min(AT_ONCE // (17 * 1000), 60 // threads)
    assert in_batches(nn.Linear(1, 1), len, torch.zeros(2 * MOST)) == [MOST, MOST]


def test_what_fails_in_a_thread_fails_here() -> None:
    torch.set_num_threads(2)

    def read(x: Tensor) -> Tensor:
        raise ValueError(f"{len(x)} inputs")

    with pytest.raises(ValueError, match="2 inputs"):
        in_batches(nn.Linear(1, 1), read, torch.zeros(4))
    assert torch.get_num_threads() == 2
