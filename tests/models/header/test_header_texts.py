"""Every header on what an encoder of texts makes of them: alone and behind it, pruned, exported."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from models.backbone.config import build
from models.backbone.families.bert import Bert, BertConfig
from models.backbone.features import extract
from models.customized import customized
from models.header.build import build_header, prunable_layers, slim
from models.header.config import SEARCHED, HeaderConfig
from models.header.kinds import HEADERS
from models.header.space import Space
from models.header.split import Split

CONFIG = BertConfig(
    classes=4,
    dim=16,
    depth=2,
    heads=2,
    head_dim=8,
    mlp_hidden=24,
    vocabulary=60,
    length=11,
)


def bert() -> Bert:
    module = build(CONFIG, seed=1).eval()
    assert isinstance(module, Bert)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.2 * torch.randn(
                parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())
            )
    return module


def texts() -> Tensor:
    ids = torch.randint(1, 60, (6, 11), generator=torch.Generator().manual_seed(2))
    for row in range(6):
        ids[row, 11 - row :] = CONFIG.pad
    return ids


def header_of(kind: str) -> tuple[nn.Module, HeaderConfig]:
    """A header none of whose parameters is 0, with half of its neurons removed."""
    stream = torch.Generator().manual_seed(3)
    architecture = Space(2).sample(stream) if kind == SEARCHED else None
    config = HeaderConfig(kind, 16, CONFIG.shape, 4, 6, 8, 1, architecture)
    header = build_header(config, seed=4).eval()
    with torch.no_grad():
        for parameter in header.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=stream)
    for _, layer in prunable_layers(header):
        layer.mask[::2] = 0
    return header, config


@pytest.mark.parametrize("kind", HEADERS)
def test_a_pruned_header_is_the_same_behind_its_encoder(kind: str) -> None:
    whole, (header, config) = bert(), header_of(kind)
    split = Split.of(extract(whole, texts()), torch.zeros(6, dtype=torch.long))
    assert split.mask is not None
    expected = header(*split.inputs)
    assert expected.std(0).min() > 1e-3, "texts differ"
    assert torch.allclose(slim(header, config)(*split.inputs), expected, atol=1e-5)
    model = customized(copy.deepcopy(whole), slim(header, config), nn.Identity())
    assert torch.allclose(model(texts()), expected, atol=1e-5)
    short = torch.cat([model(text[None]) for text in texts()])
    assert torch.allclose(short, expected, atol=1e-5), "whatever else is in the batch"


@pytest.mark.slow
@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_of_texts_is_exported_for_any_number_of_them(kind: str) -> None:
    header, config = header_of(kind)
    model = customized(bert(), slim(header, config), nn.Identity())
    free = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(model, (texts()[:2],), dynamic_shapes=free).module()
    assert torch.allclose(program(texts()), model(texts()), atol=1e-5)


def test_the_mean_of_tokens_leaves_cls_and_padding_out() -> None:
    header, config = header_of("mean-pool")
    features = extract(bert(), texts())
    tokens, mask = features.tokens[:, 0], features.mask
    assert mask is not None
    mean = torch.stack([t[1:][m[1:]].mean(0) for t, m in zip(tokens, mask, strict=True)])
    layer = header.get_submodule("classifier")
    expected = mean @ layer.weight.T + layer.bias
    assert torch.allclose(header(features.tokens, mask), expected, atol=1e-5)
    other = build_header(replace(config, kind="linear"))
    assert other(features.tokens, mask).shape == expected.shape
