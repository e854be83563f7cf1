"""Headers: masked and sliced are the same, states come back, shapes settle."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.header.build import (
    build_header,
    header_flops,
    neurons,
    prunable_layers,
    restore,
    slim,
    state_of,
)
from models.header.config import HeaderConfig
from models.header.kinds import HEADERS
from models.header.maps import to_map
from models.header.space import Block, Space

DIM, GRID, CLASSES = 8, 4, 3
FEATURES = torch.randn(4, 2, 1 + GRID**2, DIM, generator=torch.Generator().manual_seed(0))


def config(kind: str, seed: int = 0, repeats: int = 1, blocks: int = 2) -> HeaderConfig:
    architecture = None
    if kind == "searched":
        architecture = Space(blocks).sample(torch.Generator().manual_seed(seed))
    return HeaderConfig(kind, DIM, (GRID, GRID), CLASSES, 4, 6, repeats, architecture)


def lively(shape: HeaderConfig, seed: int = 0) -> torch.nn.Module:
    """A header none of whose parameters is 0, so that a wrong slice shows."""
    header = build_header(shape, seed)
    stream = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in header.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=stream)
    return header.eval()


def mask_some(header: torch.nn.Module, keep: float, seed: int) -> int:
    """Mask neurons at random; returns how many are left."""
    stream, left = torch.Generator().manual_seed(seed), 0
    for _, layer in prunable_layers(header):
        layer.mask.copy_((torch.rand(layer.mask.shape, generator=stream) < keep).float())
        left += int(layer.mask.sum())
    return left


@settings(max_examples=60)
@given(
    st.sampled_from(list(HEADERS)),
    st.integers(0, 500),
    st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    st.integers(1, 3),
)
def test_masked_and_sliced_headers_give_the_same(
    kind: str, seed: int, keep: float, repeats: int
) -> None:
    shape = config(kind, seed, repeats)
    header = lively(shape, seed)
    mask_some(header, keep, seed)
    small = slim(header, shape)
    assert torch.allclose(small(FEATURES), header(FEATURES), atol=1e-5)
    full, left = (sum(p.numel() for p in h.parameters()) for h in (header, small))
    assert left <= full
    assert header_flops(small, shape) <= header_flops(header, shape)


def test_a_removed_neuron_takes_the_inputs_that_it_fed() -> None:
    shape = config("mlp")
    header = lively(shape)
    header.get_submodule("hidden").mask[:4] = 0
    small = slim(header, shape)
    # rows of the hidden layer and their columns in the classifier
    removed = 4 * (DIM + 1) + 4 * CLASSES
    count = sum(p.numel() for p in header.parameters())
    assert sum(p.numel() for p in small.parameters()) == count - removed


def test_an_input_is_kept_while_anything_feeds_it() -> None:
    architecture = (Block(0, 0, "conv1", "conv1"),)
    shape = HeaderConfig("searched", DIM, (GRID, GRID), CLASSES, 4, 6, 1, architecture)
    header = lively(shape)
    header.get_submodule("operations.0-0-0.conv").mask[1] = 0  # the other branch still has it
    small = slim(header, shape)
    assert small.get_submodule("hidden").weight.shape[1] == 4 + DIM
    header.get_submodule("operations.0-0-1.conv").mask[1] = 0
    small = slim(header, shape)
    assert small.get_submodule("hidden").weight.shape[1] == 3 + DIM
    assert torch.allclose(small(FEATURES), header(FEATURES), atol=1e-5)


@given(st.sampled_from(list(HEADERS)), st.integers(0, 200), st.booleans())
def test_a_state_brings_a_header_back(kind: str, seed: int, sliced: bool) -> None:
    shape = config(kind, seed)
    header = lively(shape, seed)
    mask_some(header, 0.6, seed)
    stored = slim(header, shape) if sliced else header
    again = HeaderConfig.from_dict(shape.to_dict())
    assert again == shape
    back = restore(again, state_of(stored)).eval()
    assert torch.equal(back(FEATURES), stored(FEATURES))


def test_a_state_of_another_header_is_refused() -> None:
    with pytest.raises((RuntimeError, KeyError)):
        restore(config("mlp"), state_of(lively(config("linear"))))


@pytest.mark.parametrize("repeats", [1, 2, 3])
def test_downsampled_maps_settle_at_the_smaller_grid(repeats: int) -> None:
    architecture = (
        Block(0, 1, "downsample", "identity"),
        Block(2, 0, "downsample", "conv3"),
        Block(2, 3, "identity", "maxpool"),
    )
    shape = HeaderConfig("searched", DIM, (GRID, GRID), CLASSES, 4, 6, repeats, architecture)
    assert lively(shape)(FEATURES).shape == (4, CLASSES)


def test_patch_tokens_become_a_map_by_place_not_by_memory() -> None:
    tokens = torch.arange(17 * 2.0).reshape(1, 17, 2)
    grid = to_map(tokens, (4, 4))
    for row in range(4):
        for column in range(4):
            assert torch.equal(grid[0, :, row, column], tokens[0, 1 + 4 * row + column])


def test_neurons_are_counted_in_module_order() -> None:
    assert neurons(build_header(config("linear"))) == {}
    assert neurons(build_header(config("mlp"))) == {"hidden": 6}
    assert neurons(build_header(config("cnn-add"))) == {"stem": 4, "conv": 4}


def test_a_sliced_header_exports_with_a_dynamic_batch() -> None:
    shape = config("searched", seed=3)
    header = lively(shape)
    mask_some(header, 0.5, 0)
    small = slim(header, shape)
    batch = torch.export.Dim("batch")
    program = torch.export.export(small, (FEATURES,), dynamic_shapes=({0: batch},))
    more = torch.cat([FEATURES, FEATURES[:3]])
    assert torch.allclose(program.module()(more), small(more), atol=1e-5)


def test_the_same_seed_builds_the_same_header_and_leaves_torch_s_stream_alone() -> None:
    shape = config("searched")
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, two, other = (build_header(shape, s) for s in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(one(FEATURES), two(FEATURES))
    assert not torch.equal(one.stem_last.weight, other.stem_last.weight)


@pytest.mark.parametrize(
    ("kind", "words"), [("transformer", "transformer"), ("searched", "architecture")]
)
def test_an_impossible_configuration_is_refused(kind: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build_header(HeaderConfig(kind, DIM, (GRID, GRID), CLASSES, 4, 6))
