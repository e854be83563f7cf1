"""What a header reads, and the coordinates in which that is described."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.header.build import build_header
from models.header.config import HeaderConfig
from models.header.kinds import HEADERS
from models.header.space import Block
from models.header.split import Split
from models.refinement.basis import Basis, canonical, fit_basis, inputs_of, tokens_read
from tests.models.refinement.made_up import CONFIG, world

ARCHITECTURE = (Block(0, 1, "conv3", "downsample"), Block(1, 2, "maxpool", "identity"))
SEEDS = st.integers(0, 10_000)
READS = {  # tokens of the last and of the penultimate layer
    "linear": (1, 0),
    "mlp": (1, 0),
    "mean-pool": (4, 0),
    "cnn-ignore": (4, 0),
    "cnn-add": (5, 0),
    "searched": (5, 4),
}


def _config(kind: str, shape: tuple[int, ...] = (2, 2)) -> HeaderConfig:
    return replace(
        CONFIG, kind=kind, shape=shape, architecture=ARCHITECTURE if kind == "searched" else None
    )


@pytest.mark.parametrize(("kind", "tokens"), READS.items())
def test_what_a_header_reads_is_what_its_kind_says(kind: str, tokens: tuple[int, int]):
    assert tuple(tokens_read(_config(kind)).sum(1).tolist()) == tokens


def test_a_layer_that_no_block_looks_at_is_not_read():
    config = replace(_config("searched"), architecture=(Block(1, 1, "conv1", "maxpool"),))
    last, penultimate = tokens_read(config)
    assert last.tolist() == [True] + [False] * 4, "[CLS] alone"
    assert penultimate.tolist() == [False] + [True] * 4


@pytest.mark.parametrize("shape", [(4, 4), (6,)])
@pytest.mark.parametrize("kind", HEADERS)
def test_the_tokens_that_a_header_does_not_read_change_nothing_and_the_others_do(kind, shape):
    config = _config(kind, shape)
    reads, header = tokens_read(config), build_header(config, seed=3)
    torch.nn.init.normal_(header.classifier.weight if kind != "linear" else header.skip.weight)
    features = torch.randn(16, 2, 1 + math.prod(shape), 8)
    before = header(features)
    other = torch.where(reads[..., None], features, torch.randn_like(features))
    torch.testing.assert_close(header(other), before)
    for layer, place in reads.nonzero().tolist():
        moved = features.clone()
        moved[:, layer, place] += torch.randn(8)
        assert not torch.equal(header(moved), before), (layer, place)


def _padded(seed: int, tokens: int = 6) -> Split:
    stream = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, tokens, (5,), generator=stream)
    mask = torch.arange(tokens) <= lengths[:, None]
    features = torch.randn(5, 2, tokens, 8, generator=stream)
    return Split(features, torch.zeros(5, dtype=torch.long), mask)


@given(SEEDS)
def test_canonical_form_keeps_cls_and_what_pools_the_mean(seed: int):
    padded = _padded(seed)
    form = canonical(padded)
    assert form.mask is not None
    assert form.mask.all()
    for kind in ("linear", "mlp", "mean-pool"):
        header = build_header(_config(kind, (5,)), seed=1)
        torch.testing.assert_close(header(*form.inputs), header(*padded.inputs))


def test_canonical_form_literally_and_of_samples_without_padding():
    form, padded = canonical(_padded(0)), _padded(0)
    for sample, real, filled in zip(padded.features, padded.mask, form.features, strict=True):
        for layer in range(2):
            mean = sum(sample[layer, t] for t in range(1, 6) if real[t]) / int(real[1:].sum())
            for t in range(6):
                expected = sample[layer, t] if real[t] else mean
                torch.testing.assert_close(filled[layer, t], expected)
    torch.testing.assert_close(canonical(form).features, form.features)
    plain = Split(padded.features, padded.labels)
    assert canonical(plain) is plain


def test_the_basis_literally():
    public = world().split(40)
    basis = fit_basis(public, tokens_read(CONFIG), 3)
    x = public.features[:, 0, 0].double()
    _, values, rows = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    for own, row in zip(basis.directions.double(), rows[:3], strict=True):
        assert abs(float(own @ row)) == pytest.approx(1, abs=1e-5), "a principal direction"
    along = (x - x.mean(0)) @ basis.directions.double().T
    rest = x - x.mean(0) - along @ basis.directions.double()
    torch.testing.assert_close(basis.spread.double(), rest.pow(2).mean(0).sqrt())
    groups = [along[public.labels == c] for c in range(3)]
    pooled = sum((len(g) - 1) * g.var(0) for g in groups) / (len(x) - 3)
    torch.testing.assert_close(basis.variance.double(), pooled)
    within = torch.cat([g - g.mean(0) for g in groups])
    torch.testing.assert_close(basis.correlation.double(), torch.corrcoef(within.T))
    torch.testing.assert_close(basis.root @ basis.root.T, basis.correlation)
    assert values[2] > 0


@given(SEEDS, st.integers(1, 12), st.integers(2, 12))
def test_directions_are_orthonormal_and_no_more_than_data_have(seed: int, rank: int, count: int):
    stream = torch.Generator().manual_seed(seed)
    public = Split(torch.randn(count, 2, 5, 8, generator=stream), torch.arange(count) % 3)
    basis = fit_basis(public, tokens_read(CONFIG), rank)
    assert basis.rank == min(rank, count - 1, 8)
    torch.testing.assert_close(basis.directions @ basis.directions.T, torch.eye(basis.rank))
    assert (basis.variance > 0).all()


@given(SEEDS, st.sampled_from([1e-3, 0.1, 7.0, 1e3]))
def test_coordinates_do_not_depend_on_the_scale_of_features(seed: int, scale: float):
    public, own = world(seed).split(30), world(seed + 1).split(5)
    plain = fit_basis(public, tokens_read(CONFIG), 4)
    large = fit_basis(replace(public, features=scale * public.features), tokens_read(CONFIG), 4)
    found = large.coordinates(replace(own, features=scale * own.features))
    torch.testing.assert_close(found.abs(), plain.coordinates(own).abs(), rtol=2e-3, atol=2e-3)


def test_features_come_back_from_coordinates_at_full_rank():
    public, reads = _padded(0), tokens_read(_config("cnn-add", (5,)))
    public = public.join(_padded(1)).join(_padded(2))
    basis = fit_basis(public, reads, 14)
    nothing = torch.zeros(len(public.labels), len(basis.mean))
    found = basis.tokens(basis.coordinates(public), nothing)
    torch.testing.assert_close(
        inputs_of(Split(found, public.labels), reads),
        inputs_of(public, reads),
        rtol=1e-3,
        atol=1e-3,
    )
    assert not found[:, ~reads].any(), "what no header reads stays 0"


def test_a_basis_is_read_as_it_was_named_and_sent_in_half_precision():
    basis = world().basis()
    back = Basis.read(basis.compact.named("basis."), "basis.")
    for name, tensor in basis.named("").items():
        torch.testing.assert_close(getattr(back, name), tensor, rtol=1e-3, atol=1e-3)
    assert basis.compact.directions.dtype == torch.float16


def test_public_data_without_anything_to_tell_apart_have_no_basis():
    reads, alike = tokens_read(CONFIG), Split(torch.ones(4, 2, 5, 8), torch.arange(4))
    with pytest.raises(ValueError, match="all public samples are alike"):
        fit_basis(alike, reads, 2)
    with pytest.raises(ValueError, match="1 public samples of 8 inputs have no basis"):
        fit_basis(alike.at(slice(1)), reads, 2)
    with pytest.raises(ValueError, match="4 public samples of 0 inputs have no basis"):
        fit_basis(alike, torch.zeros_like(reads), 2)
