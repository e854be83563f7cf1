"""The one training loop and the one loader."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from models.training import Loop, endless, train


def drawn(count: int, batch_size: int, *, joined: bool, batches: int) -> list[Tensor]:
    source = endless(count, batch_size, torch.Generator().manual_seed(3), joined=joined)
    return list(itertools.islice(source, batches))


@given(st.integers(1, 9), st.integers(1, 12))
def test_an_epoch_drops_what_is_left_over(count: int, batch_size: int) -> None:
    size = min(count, batch_size)
    each = count // size
    found = drawn(count, batch_size, joined=False, batches=3 * each)
    assert all(len(batch) == size for batch in found)
    order = torch.Generator().manual_seed(3)
    for start in range(0, 3 * each, each):
        epoch = torch.cat(found[start : start + each])
        assert torch.equal(epoch, torch.randperm(count, generator=order)[: each * size])


@given(st.integers(1, 9), st.integers(1, 12))
def test_joined_epochs_lose_nothing(count: int, batch_size: int) -> None:
    found = drawn(count, batch_size, joined=True, batches=3 * count)
    assert all(len(batch) == batch_size for batch in found)
    order, stream = torch.Generator().manual_seed(3), torch.cat(found)
    for start in range(0, len(stream), count):
        assert torch.equal(stream[start : start + count], torch.randperm(count, generator=order))


@pytest.mark.parametrize("one_cycle", [False, True])
def test_the_loop_is_adamw_on_the_sum_of_the_losses(one_cycle: bool) -> None:
    """Against the loop written out, with both losses in one graph."""
    torch.manual_seed(0)
    x, y = torch.randn(10, 3), torch.randn(10, 1)
    module, literal = nn.Linear(3, 1), nn.Linear(3, 1)
    literal.load_state_dict(module.state_dict())
    seen: list[tuple[int, int, float]] = []
    train(
        module,
        lambda chosen: [(module(x[chosen]) - y[chosen]).pow(2).mean(), module.weight.abs().sum()],
        len(x),
        Loop(5, 4, 0.1, weight_decay=0.2, one_cycle=one_cycle),
        torch.Generator().manual_seed(7),
        lambda done, total, metrics: seen.append((done, total, metrics["loss"])),
    )
    optimizer = torch.optim.AdamW(literal.parameters(), lr=0.1, weight_decay=0.2)
    schedule = (
        torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=5)
        if one_cycle
        else torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)
    )
    batches = endless(10, 4, torch.Generator().manual_seed(7))
    for step, chosen in enumerate(itertools.islice(batches, 5)):
        loss = (literal(x[chosen]) - y[chosen]).pow(2).mean() + literal.weight.abs().sum()
        assert seen[step] == (step + 1, 5, pytest.approx(loss.item(), rel=1e-5))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    assert torch.allclose(module.weight, literal.weight, atol=1e-6)
    assert not module.training


def test_no_steps_change_nothing() -> None:
    module = nn.Linear(2, 1)
    before = module.weight.detach().clone()
    train(module, lambda _: [], 4, Loop(0, 2, 0.1), torch.Generator())
    assert torch.equal(module.weight, before)
