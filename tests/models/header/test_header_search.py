"""Sec. III-C: Eq. 14 and 15, REINFORCE, and what the search promises."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from models.header.build import build_header
from models.header.config import HeaderConfig
from models.header.controller import Controller, reinforce_loss
from models.header.operations import OPERATIONS
from models.header.recipe import HeaderSearch
from models.header.search import (
    EdgeSearch,
    SearchResult,
    TrainedHeader,
    children_loss,
    choose,
)
from models.header.space import Block, Space, describe, loose_ends
from models.header.split import Split

DIM, GRID, CLASSES = 8, 4, 3
BASE = HeaderConfig("linear", DIM, (GRID, GRID), CLASSES, channels=4, hidden=6, repeats=1)
RECIPE = HeaderSearch(
    blocks=2,
    repeats=1,
    operations=tuple(OPERATIONS),
    channels=4,
    hidden=6,
    fixed=("mlp", "cnn-ignore"),
    epochs=2,
    weight_steps=3,
    controller_steps=3,
    children=2,
    finalists=2,
    retrain_steps=20,
    batch_size=16,
    lr=3e-3,
    controller_lr=1e-2,
)


def split(n: int, seed: int) -> Split:
    """Features whose class shows in the mean of a patch token's first values."""
    stream = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (n,), generator=stream)
    features = 0.7 * torch.randn(n, 2, 1 + GRID**2, DIM, generator=stream)
    features[:, 0, 1:, :CLASSES] += F.one_hot(labels, CLASSES)[:, None]
    return Split(features, labels)


@pytest.mark.parametrize(("blocks", "operations"), [(1, 2), (1, 7), (2, 2), (3, 1)])
def test_eq14_size_is_the_number_of_headers(blocks: int, operations: int) -> None:
    space = Space(blocks, tuple(OPERATIONS)[:operations])
    literal = itertools.product(*(range(n) for n in space.choices()))
    assert space.size() == sum(1 for _ in literal)


def test_eq14_size_is_the_product_over_the_blocks() -> None:
    expected = math.prod((b + 1) ** 2 * 7**2 for b in range(1, 5))
    assert Space(4).size() == expected


@given(st.integers(1, 4), st.integers(0, 10_000))
def test_decisions_and_architectures_are_the_same_thing(blocks: int, seed: int) -> None:
    space = Space(blocks)
    architecture = space.sample(torch.Generator().manual_seed(seed))
    decisions = space.encode(architecture)
    assert len(decisions) == 4 * blocks == len(space.choices())
    assert all(0 <= d < n for d, n in zip(decisions, space.choices(), strict=True))
    assert space.decode(decisions) == architecture
    ends = loose_ends(architecture)
    assert blocks + 1 in ends  # nothing can read the last block
    assert describe(architecture).count(";") == blocks - 1


def test_an_unknown_operation_is_named() -> None:
    with pytest.raises(ValueError, match="conv9"):
        Space(1, ("conv9",))


def searcher(budget: int = 100_000, blocks: int = 2) -> EdgeSearch:
    return EdgeSearch(BASE, replace(RECIPE, blocks=blocks), budget, None, seed=0)


def test_eq15_gradient_is_the_mean_of_the_children_s_gradients() -> None:
    shared, data = searcher().shared_weights(), split(12, 0)
    stream = torch.Generator().manual_seed(4)
    children = [Space(2).sample(stream) for _ in range(3)]
    children_loss(shared, children, data).backward()
    got = {n: p.grad for n, p in shared.named_parameters()}
    for name, parameter in shared.named_parameters():
        literal = torch.zeros_like(parameter)
        for child in children:
            loss = F.cross_entropy(shared(data.features, child), data.labels)
            [gradient] = torch.autograd.grad(loss, [parameter], allow_unused=True)
            literal += 0 if gradient is None else gradient / 3
        if got[name] is None:
            assert not literal.any()  # off every sampled path
        else:
            assert torch.allclose(got[name], literal, atol=1e-6), name


def test_weights_off_the_sampled_path_get_no_gradient() -> None:
    shared, data = searcher(blocks=1).shared_weights(), split(8, 0)
    children_loss(shared, [(Block(0, 0, "conv3", "identity"),)], data).backward()
    touched = {
        n.split(".")[1]
        for n, p in shared.operations.named_parameters(prefix="x")
        if p.grad is not None
    }
    assert touched == {"0-0-0-conv3"}


def test_reinforce_gradient_matches_the_literal_version() -> None:
    controller = Controller(Space(2), seed=0)
    samples = controller.sample(4, torch.Generator().manual_seed(1))
    rewards, baseline = torch.tensor([0.2, 0.9, 0.5, 0.4]), 0.45
    parameters = [controller.decide[0].weight, controller.lstm.weight_hh]
    got = torch.autograd.grad(
        reinforce_loss(samples, rewards, baseline, 0.0), parameters, retain_graph=True
    )
    literal = [torch.zeros_like(p) for p in parameters]
    for i in range(4):
        of_policy = torch.autograd.grad(samples.log_probs[i], parameters, retain_graph=True)
        of_prediction = torch.autograd.grad(
            (samples.predicted[i] - rewards[i]) ** 2,
            parameters,
            retain_graph=True,
            allow_unused=True,
        )
        for total, policy, prediction in zip(literal, of_policy, of_prediction, strict=True):
            total -= (rewards[i] - baseline) * policy / 4
            total += 0 if prediction is None else prediction / 4
    for one, other in zip(got, literal, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_the_controller_makes_4b_decisions_and_scores_what_it_sampled() -> None:
    space = Space(3)
    controller = Controller(space, seed=0)
    samples = controller.sample(5, torch.Generator().manual_seed(0))
    again = controller.score(samples.architectures)
    assert torch.allclose(samples.log_probs, again.log_probs)
    assert torch.allclose(samples.predicted, again.predicted)
    for architecture in samples.architectures:
        for decision, choices in zip(space.encode(architecture), space.choices(), strict=True):
            assert 0 <= decision < choices
    uniform = sum(math.log(n) for n in space.choices()) / len(space.choices())
    assert samples.entropy.max() <= uniform + 1e-5


def test_reinforce_learns_what_pays() -> None:
    """Reward 1 for a first operation conv1, else 0: the policy must come to prefer it."""
    controller, stream = Controller(Space(1), seed=0), torch.Generator().manual_seed(0)
    optimizer, baseline = torch.optim.Adam(controller.parameters(), lr=1e-2), 0.0

    def share() -> float:
        drawn = controller.sample(300, torch.Generator().manual_seed(9)).architectures
        return sum(a[0].op1 == "conv1" for a in drawn) / 300

    before = share()
    for _ in range(60):
        samples = controller.sample(8, stream)
        rewards = torch.tensor([float(a[0].op1 == "conv1") for a in samples.architectures])
        optimizer.zero_grad()
        reinforce_loss(samples, rewards, baseline, 0.0).backward()
        optimizer.step()
        baseline = 0.9 * baseline + 0.1 * rewards.mean().item()
    assert share() > before + 0.1  # from .11 to .56 with each of three kinds of kernels


def run(budget: int = 100_000) -> SearchResult:
    return searcher(budget).run(split(80, 1), split(40, 2), split(60, 3))


def test_the_winner_is_not_worse_than_linear_on_validation() -> None:
    result = run()
    linear = next(t for t in result.trained if t.config.kind == "linear")
    assert result.trained[result.winner].val_accuracy >= linear.val_accuracy
    assert {t.name for t in result.trained} == {
        "linear",
        "mlp",
        "cnn-ignore",
        "searched-1",
        "searched-2",
    }


def test_the_search_is_reproducible() -> None:
    one, two = run(), run()
    assert one.winner == two.winner
    assert one.sampled == two.sampled
    for a, b in zip(one.trained, two.trained, strict=True):
        assert a.config == b.config
        assert all(torch.equal(a.state[k], b.state[k]) for k in a.state)


def test_nothing_over_the_budget_is_trained() -> None:
    budget = 400
    result = run(budget)
    assert all(t.parameters <= budget for t in result.trained)
    assert [s for s in result.sampled if s.parameters > budget]
    assert all(s.reward == 0 for s in result.sampled if s.parameters > budget)


def test_a_budget_below_linear_is_refused() -> None:
    with pytest.raises(ValueError, match="10 parameters are left"):
        run(10)


def test_the_linear_part_starts_from_the_reference_header() -> None:
    weight, bias = torch.randn(CLASSES, DIM), torch.randn(CLASSES)
    data = split(5, 0)
    expected = F.linear(data.features[:, 0, 0], weight, bias)
    architecture = Space(2).sample(torch.Generator().manual_seed(0))
    for config in (
        BASE,
        HeaderConfig("searched", DIM, (GRID, GRID), CLASSES, 4, 6, 1, architecture),
    ):
        header = build_header(config, 0, (weight, bias))
        assert torch.allclose(header(data.features), expected, atol=1e-6)


def trained(kind: str, val: float, joint: float, parameters: int = 10) -> TrainedHeader:
    config = HeaderConfig(kind, DIM, (GRID, GRID), CLASSES, 4, 6)
    return TrainedHeader(kind, config, {}, parameters, 1, 1.0, val, 1.0, joint)


def test_choose_takes_the_best_joint_among_those_not_worse_than_linear() -> None:
    candidates = [
        trained("linear", 0.7, 0.7),
        trained("mlp", 0.6, 0.9),  # worse than linear on the shared split
        trained("mixer", 0.7, 0.8),
        trained("cnn-add", 0.8, 0.75),
    ]
    assert choose(candidates, 100) == 2
    assert choose([*candidates, trained("cnn-ignore", 0.7, 0.8, 5)], 100) == 4


def test_without_finalists_nothing_is_searched() -> None:
    steps = list[tuple[int, int]]()
    search = EdgeSearch(BASE, replace(RECIPE, finalists=0), 10_000, None, seed=0)
    result = search.run(split(60, 0), split(20, 1), None, lambda i, n, _: steps.append((i, n)))
    assert [t.name for t in result.trained] == ["linear", "mlp", "cnn-ignore"]
    assert result.sampled == []
    assert steps == [(1, 3), (2, 3), (3, 3)]
