"""Labelled features as they are kept and sent, of images and of padded texts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.backbone.config import build
from models.backbone.families.vit import ViTConfig
from models.backbone.features import FeatureExtractor, Features, Headed, extract
from models.header.build import build_header, restore, state_of
from models.header.config import HeaderConfig
from models.header.kinds import FIXED, seen_by
from models.header.split import Split
from models.refinement.basis import inputs_of, tokens_read
from tests.models.backbone import toy

TOY = toy.ToyConfig(
    length=6, vocabulary=9, classes=3, dim=8, depth=2, heads=2, head_dim=4, mlp_hidden=8
)
VIT = ViTConfig(
    image_size=8,
    patch_size=4,
    channels=1,
    classes=3,
    dim=8,
    depth=2,
    heads=2,
    head_dim=4,
    mlp_hidden=8,
)
LABELS = torch.tensor([2, 0, 1])


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    from models.backbone import config

    monkeypatch.setitem(config.FAMILIES, "toy", toy.FAMILY)


def texts(length: int) -> Tensor:
    """Of at most four words, padded to a length."""
    words = torch.full((3, length), toy.PADDING)
    words[:, :4] = torch.tensor([[3, 1, 4, 1], [5, 8, 2, -1], [6, -1, -1, -1]])
    return words


def test_features_of_texts_have_a_mask_and_a_length() -> None:
    backbone = build(TOY)
    found = extract(backbone, texts(6), 2)
    assert found.shape == (6,)
    assert found.mask is not None
    assert found.mask.sum(1).tolist() == [5, 4, 2]
    tokens, mask = FeatureExtractor(backbone)(texts(6))
    assert torch.equal(found.mask, mask)
    assert torch.allclose(found.tokens, tokens, atol=1e-6)


def test_features_of_images_have_none() -> None:
    images = torch.randn(3, 1, 8, 8)
    found = extract(build(VIT), images)
    assert (found.mask, found.shape) == (None, (2, 2))
    assert set(Split.of(found, LABELS).named("val_")) == {"val_features", "val_labels"}


def test_a_split_is_read_as_it_was_named() -> None:
    split = Split.of(extract(build(TOY), texts(6)), LABELS)
    kept = split.named("train_")
    assert set(kept) == {"train_features", "train_labels", "train_mask"}
    assert all(map(torch.equal, *zip(*_pairs(Split.read(kept, "train_"), split), strict=True)))
    halved = split.compact.named("")
    assert [t.dtype for t in halved.values()] == [torch.float16, torch.int16, torch.bool]
    again = Split.read(halved, "")
    assert (again.features.dtype, again.labels.dtype) == (torch.float32, torch.int64)
    assert torch.allclose(again.features, split.features, atol=2e-3)


def test_what_a_device_wants_stays_with_its_samples() -> None:
    wanted = torch.tensor([0, 2])
    split = Split.of(extract(build(VIT), torch.randn(3, 1, 8, 8)), LABELS, wanted)
    kept = split.named("train_")
    assert set(kept) == {"train_features", "train_labels", "train_wanted"}
    again = Split.read(kept, "train_")
    for same in (again, split.compact, split.at(slice(1)), split.to(torch.device("cpu"))):
        assert same.wanted is not None
        assert same.wanted.tolist() == [0, 2]
    others = Split(split.features, split.labels)
    assert split.join(others).wanted is wanted
    assert others.join(split).wanted is None


def _pairs(a: Split, b: Split) -> list[tuple[Tensor, Tensor]]:
    return list(zip((*a.inputs, a.labels), (*b.inputs, b.labels), strict=True))


@pytest.mark.parametrize("kind", ["linear", "cnn-project", "vit"])
def test_a_model_answers_a_text_alike_however_far_it_is_padded(kind: str) -> None:
    """By kinds whose weights do not depend on the length; the backbone with more places too."""
    from dataclasses import replace

    long = build(TOY).eval()
    state = long.state_dict()
    short = build(replace(TOY, length=4)).eval()
    short.load_state_dict(state | {"places": state["places"][:, :5]})
    config = HeaderConfig(kind, 8, (4,), 3, channels=4, hidden=6)
    header = build_header(config, seed=1).eval()
    wider = restore(replace(config, shape=(6,)), state_of(header)).eval()
    with torch.no_grad():
        for parameter in (*header.parameters(), *wider.parameters()):
            parameter += 0.1
        expected = Headed(FeatureExtractor(short), header)(texts(4))
        found = Headed(FeatureExtractor(long), wider)(texts(6))
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(found[0], found[1], atol=1e-3)


def test_features_say_what_they_are() -> None:
    """What a header gets of a split is what the backbone's record holds."""
    found = Features(torch.zeros(2, 2, 4, 8), torch.ones(2, 4, dtype=torch.bool), (3,))
    split = Split.of(found, LABELS[:2])
    assert split.inputs == (found.tokens, found.mask)


@pytest.mark.parametrize("kind", FIXED)
def test_a_header_says_the_same_of_what_it_reads_as_of_all_there_is(kind: str) -> None:
    texts_of = Split.of(extract(build(TOY), texts(6)), LABELS)
    config = HeaderConfig(kind, TOY.dim, TOY.shape, 3, channels=4, hidden=5)
    header, seen = build_header(config, seed=1).eval(), seen_by(config, texts_of)
    assert torch.allclose(header(*seen.inputs), header(*texts_of.inputs))
    alone = kind in ("linear", "mlp")
    assert (seen.mask is None) == alone
    assert (seen.features.shape[1:3] == (1, 1)) == alone
    reads = tokens_read(config)
    assert torch.equal(inputs_of(seen, reads), inputs_of(texts_of, reads))
    if not alone:
        with pytest.raises(ValueError, match="lack some that are read"):
            inputs_of(replace(texts_of, features=texts_of.features[:, :1, :1], mask=None), reads)
