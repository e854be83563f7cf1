"""Headers against a forward pass written out step by step, and the errors of their files."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.header.build import build_header, restore, slim, start_from, state_of
from models.header.config import HeaderConfig
from models.header.controller import Controller, reinforce_loss
from models.header.layers import rms_norm
from models.header.maps import add
from models.header.network import DagHeader
from models.header.operations import OPERATIONS
from models.header.recipe import HeaderSearch
from models.header.search import EdgeSearch
from models.header.space import Architecture, Block, Space, loose_ends
from models.header.split import Split

DIM, GRID, CLASSES = 8, 4, 3
# three loose ends in the second, a shrinking map in the first
SHRINKING = (Block(0, 1, "conv3", "downsample"), Block(2, 0, "avgpool", "conv1"))
WIDE = (
    Block(0, 1, "conv3", "identity"),
    Block(1, 0, "maxpool", "conv5"),
    Block(0, 0, "conv1", "avgpool"),
)


def config(architecture: Architecture | None, kind: str = "searched") -> HeaderConfig:
    return HeaderConfig(
        kind, DIM, (GRID, GRID), CLASSES, 4, 6, repeats=2, architecture=architecture
    )


def literal(header: DagHeader, features: Tensor, architecture: Architecture) -> Tensor:
    """Sec. III-C1 in so many words: two modules, each reading the two before it."""

    def as_map(tokens: Tensor) -> Tensor:
        side = [tokens[:, 1 + GRID * row : 1 + GRID * (row + 1)] for row in range(GRID)]
        return torch.stack(side, 1).permute(0, 3, 1, 2)

    def module(u: int, before: Tensor, twice_before: Tensor) -> Tensor:
        states = [before, twice_before]
        for b, block in enumerate(architecture):
            left = header.operations[f"{u}-{b}-0"](states[block.input1])
            right = header.operations[f"{u}-{b}-1"](states[block.input2])
            states.append(add(left, right))
        unread = [
            i
            for i in range(2, len(states))
            if all(i not in (block.input1, block.input2) for block in architecture)
        ]
        total = states[unread[0]]
        for i in unread[1:]:
            total = add(total, states[i])
        return total

    last, penultimate = features[:, 0], features[:, 1]
    first, second = header.stem_last(as_map(last)), header.stem_penultimate(as_map(penultimate))
    third = module(0, first, second)
    fourth = module(1, third, first)
    joined = torch.cat([rms_norm(fourth.mean((2, 3)), 1), last[:, 0]], 1)
    return header.classifier(F.gelu(header.hidden(joined))) + header.skip(last[:, 0])


@pytest.mark.parametrize("architecture", [SHRINKING, WIDE])
def test_a_searched_header_is_what_the_paper_draws(architecture: Architecture) -> None:
    header = build_header(config(architecture), seed=1)
    torch.nn.init.normal_(header.classifier.weight)  # it starts at zero
    features = torch.randn(3, 2, 1 + GRID**2, DIM, generator=torch.Generator().manual_seed(0))
    expected = literal(header, features, architecture)
    assert torch.allclose(header(features), expected, atol=1e-6)
    assert len(loose_ends(WIDE)) == 3


def test_shared_weights_use_each_slot_s_own_module() -> None:
    search = searcher()
    shared = search.shared_weights()
    header = DagHeader(config(SHRINKING))
    state = {k: v for k, v in shared.state_dict().items() if not k.startswith("operations")}
    for u in range(2):
        for b, block in enumerate(SHRINKING):
            for slot, name in enumerate((block.op1, block.op2)):
                prefix = f"operations.{u}-{b}-{slot}-{name}."
                for key, value in shared.state_dict().items():
                    if key.startswith(prefix):
                        rest = key.removeprefix(prefix)
                        state[f"operations.{u}-{b}-{slot}.{rest}"] = value
    header.load_state_dict(state)
    features = torch.randn(3, 2, 1 + GRID**2, DIM)
    torch.nn.init.normal_(shared.classifier.weight)
    header.classifier.weight.data.copy_(shared.classifier.weight)
    assert torch.allclose(shared(features, SHRINKING), header(features), atol=1e-6)


@pytest.mark.parametrize("mode", ["cnn-add", "cnn-project"])
def test_cnn_headers_mix_in_the_class_token(mode: str) -> None:
    header = build_header(config(None, mode))
    features = torch.randn(2, 2, 1 + GRID**2, DIM)
    other_cls, other_patch = features.clone(), features.clone()
    other_cls[:, 0, 0] += 1
    other_patch[:, 1] += 1  # the penultimate layer is not read
    assert not torch.allclose(header(other_cls), header(features))
    assert torch.equal(header(other_patch), header(features))


def searcher(budget: int = 100_000) -> EdgeSearch:
    recipe = HeaderSearch(2, 2, tuple(OPERATIONS), 4, 6, (), 1, 1, 1, 2, 4, 1, 8, 1e-3, 1e-2)
    return EdgeSearch(config(None, "linear"), recipe, budget, None, seed=0)


def test_no_finalist_is_over_the_budget() -> None:
    costs = sorted(searcher().cost(Space(2).sample(_stream(i)))[0] for i in range(40))
    search = searcher(costs[10])
    data = Split(torch.randn(8, 2, 1 + GRID**2, DIM), torch.randint(CLASSES, (8,)))
    finalists = search.finalists(Controller(Space(2), 0), search.shared_weights(), data)
    assert finalists
    assert all(search.cost(a)[0] <= costs[10] for a in finalists)


def test_entropy_lowers_the_loss() -> None:
    samples = Controller(Space(2), 0).sample(3, _stream(0))
    rewards = torch.tensor([0.1, 0.2, 0.3])
    without, with_it = (reinforce_loss(samples, rewards, 0.2, w) for w in (0.0, 1.0))
    assert torch.allclose(without - with_it, samples.entropy.mean())


def test_a_search_without_samples_is_refused() -> None:
    nothing = Split(torch.empty(0, 2, 1 + GRID**2, DIM), torch.empty(0, dtype=torch.long))
    with pytest.raises(ValueError, match="train and validation samples"):
        searcher().run(nothing, nothing, None)


def test_a_reference_head_of_another_shape_is_named() -> None:
    with pytest.raises(ValueError, match=r"weight is \(5, 8\)"):
        start_from(build_header(config(WIDE)), (torch.zeros(5, DIM), torch.zeros(5)))


def test_a_state_of_another_header_is_refused() -> None:
    with pytest.raises(RuntimeError, match="another header's"):
        restore(config(WIDE), state_of(build_header(config(None, "mlp"))))


def test_a_slim_header_stays_slim() -> None:
    header = build_header(config(WIDE), seed=2)
    header.stem_last.mask[1:] = 0
    once = slim(header, config(WIDE))
    features = torch.randn(2, 2, 1 + GRID**2, DIM)
    assert torch.allclose(slim(once, config(WIDE))(features), header(features), atol=1e-6)


def _stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
