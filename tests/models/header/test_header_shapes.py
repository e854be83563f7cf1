"""Headers on sequences and on padded positions."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from models.header.build import build_header, header_flops, prunable_layers, restore, slim, state_of
from models.header.config import VERSION, HeaderConfig
from models.header.kinds import HEADERS
from models.header.operations import OPERATIONS
from models.header.recipe import HeaderSearch
from models.header.search import EdgeSearch, evaluate
from models.header.space import Block, Space
from models.header.split import Split
from models.refinement.recipe import LocalTraining
from models.refinement.training import LocalSteps, fit_devices

DIM, CLASSES = 8, 3
SHAPES = [(8,), (4, 4), (2, 6)]
kinds, shapes, seeds = st.sampled_from(list(HEADERS)), st.sampled_from(SHAPES), st.integers(0, 300)


def config(kind: str, shape: tuple[int, ...], seed: int = 0, repeats: int = 2) -> HeaderConfig:
    stream = torch.Generator().manual_seed(seed)
    architecture = Space(2).sample(stream) if kind == "searched" else None
    return HeaderConfig(kind, DIM, shape, CLASSES, 4, 6, repeats, architecture)


def lively(shape: HeaderConfig, seed: int = 0) -> nn.Module:
    """A header none of whose parameters is 0."""
    header, stream = build_header(shape, seed), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in header.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=stream)
    return header.eval()


def features(count: int, positions: int, seed: int = 0) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(count, 2, 1 + positions, DIM, generator=stream)


def lengths(given: list[int], positions: int) -> Tensor:
    """The mask of sequences of these lengths; [CLS] is always real."""
    return torch.arange(1 + positions) <= torch.tensor(given)[:, None]


def with_garbage(x: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask[:, None, :, None], x, 100 * torch.randn(x.shape))


@settings(max_examples=80, deadline=None)
@given(kinds, shapes, seeds)
def test_what_stands_in_padding_changes_nothing(kind: str, shape: tuple[int, ...], seed: int):
    header, stream = lively(config(kind, shape, seed), seed), torch.Generator().manual_seed(seed)
    x = features(4, torch.Size(shape).numel(), seed)
    mask = torch.rand(x[:, 0, :, 0].shape, generator=stream) < 0.6
    mask[:, 0] = True
    with torch.no_grad():
        assert torch.allclose(header(with_garbage(x, mask), mask), header(x, mask), atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["cnn-ignore", "cnn-add", "cnn-project", "vit", "searched"]), seeds)
def test_a_padded_sequence_is_answered_like_itself(kind: str, seed: int):
    """By kinds whose weights do not depend on the length."""
    short = config(kind, (8,), seed)
    header = lively(short, seed)
    padded = restore(replace(short, shape=(16,)), state_of(header)).eval()
    x, mask = features(3, 16, seed), lengths([8, 8, 8], 16)
    with torch.no_grad():
        expected = header(x[:, :, :9])
        assert torch.allclose(padded(with_garbage(x, mask), mask), expected, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(kinds, shapes, seeds, st.sampled_from([0.3, 0.7]))
def test_masked_and_sliced_neurons_are_the_same(
    kind: str, shape: tuple[int, ...], seed: int, keep: float
):
    of = config(kind, shape, seed)
    header, stream = lively(of, seed), torch.Generator().manual_seed(seed)
    for _, layer in prunable_layers(header):
        layer.mask.copy_((torch.rand(layer.mask.shape, generator=stream) < keep).float())
    small, x = slim(header, of), features(3, torch.Size(shape).numel(), seed)
    mask = lengths([1, 3, 7], torch.Size(shape).numel())
    with torch.no_grad():
        for inputs in ((x,), (x, mask)):
            assert torch.allclose(small(*inputs), header(*inputs), atol=1e-5)
    assert header_flops(small, of) <= header_flops(header, of)


def test_a_sequence_s_convolution_is_torch_s() -> None:
    header = lively(config("cnn-ignore", (8,)))
    x = features(2, 8)
    inner = F.conv1d(x[:, 0, 1:].mT, header.stem.weight, header.stem.bias).relu()
    last = F.conv1d(inner, header.conv.weight, header.conv.bias, padding=1).relu()
    expected = F.linear(last.mean(2), header.classifier.weight, header.classifier.bias)
    assert torch.allclose(header(x), expected, atol=1e-6)


def test_the_largest_in_padding_is_never_taken() -> None:
    pool = OPERATIONS["maxpool"](1, 1)
    x, mask = torch.tensor([[[-3.0, -1.0, 0.0, 0.0]]]), lengths([2], 4)[:, None, 1:]
    assert pool(x, mask).tolist() == [[[-1.0, -1.0, 0.0, 0.0]]]


def words(count: int, seed: int) -> Split:
    """Sequences of unequal length whose class one position in them tells."""
    stream = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=stream)
    x = 0.5 * torch.randn(count, 2, 13, DIM, generator=stream)
    mask = lengths(torch.randint(4, 13, (count,), generator=stream).tolist(), 12)
    x[:, 0, 2, :CLASSES] += 4 * F.one_hot(labels, CLASSES)
    return Split(with_garbage(x, mask), labels, mask)


def test_a_search_finds_a_header_for_padded_sequences() -> None:
    recipe = HeaderSearch(
        2, 1, tuple(OPERATIONS), 4, 8, ("mlp",), 2, 4, 3, 2, 2, 80, 16, 1e-2, 1e-2
    )
    search = EdgeSearch(config("linear", (12,), repeats=1), recipe, 10**6, None, 0)
    found = search.run(words(120, 0), words(60, 1), words(40, 2))
    winner = found.trained[found.winner]
    assert winner.config.kind == "searched"
    header = restore(winner.config, winner.state)
    test = words(60, 3)
    assert evaluate(header, test)[1] > 0.8  # chance is a third; [CLS] tells nothing
    assert winner.val_accuracy > next(t for t in found.trained if t.name == "linear").val_accuracy


def test_devices_train_on_padded_sequences_together_as_one_by_one() -> None:
    data, results = [words(20, seed) for seed in range(2)], []
    of = replace(
        config("searched", (12,)), architecture=(Block(0, 1, "maxpool", "downsample"),) * 2
    )
    for batched in (True, False):
        headers = [build_header(of, seed) for seed in range(2)]
        steps = LocalSteps(6, LocalTraining(8, 1e-3, 0.01))
        sets = fit_devices(headers, data, steps, [0, 1], batched=batched)
        results.append((sets, *(p for header in headers for p in header.parameters())))
    for together, alone in zip(*results, strict=True):
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_splits_join_with_their_masks() -> None:
    both = words(3, 0).join(words(4, 1))
    assert both.mask is not None
    assert torch.equal(both.mask, torch.cat([words(3, 0).mask, words(4, 1).mask]))
    with pytest.raises(ValueError, match="one split has a mask"):
        both.join(Split(both.features, both.labels))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_configuration_comes_back(shape: tuple[int, ...]) -> None:
    one = config("searched", shape)
    assert HeaderConfig.from_dict(one.to_dict()) == one
    assert one.to_dict()["version"] == VERSION


def test_an_older_configuration_is_read_and_a_newer_one_refused() -> None:
    old = {"kind": "mlp", "dim": 8, "grid": 4, "classes": 3, "channels": 4, "hidden": 6}
    read = HeaderConfig.from_dict({**old, "repeats": 1, "architecture": None})
    assert read == HeaderConfig("mlp", 8, (4, 4), 3, 4, 6)
    with pytest.raises(ValueError, match=f"is of version {VERSION + 1}; this ACME reads up to"):
        HeaderConfig.from_dict({**read.to_dict(), "version": VERSION + 1})


def test_positions_lie_in_one_or_two_dimensions() -> None:
    with pytest.raises(ValueError, match="one dimension, or two"):
        HeaderConfig("mlp", 8, (2, 2, 2), 3, 4, 6)
