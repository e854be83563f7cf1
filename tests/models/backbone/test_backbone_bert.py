"""BERT-like encoders: transformers' outputs, padding, units, and words that are left out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.backbone import elastic, importance, slicing
from models.backbone.config import build, config_from, units_of
from models.backbone.families.bert import Bert
from models.backbone.families.from_transformers import adopt, prove
from models.backbone.families.refused import RefusedError
from models.backbone.size import attention_parameters, backbone_parameters, parameter_count, zeta
from tests.encoders import tiny_encoder
from tests.models.backbone.test_backbone_families import VIT

LENGTH = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def bert(folder: Path) -> Bert:
    return adopt(loaded(folder), LENGTH)


def loaded(folder: Path) -> Any:
    from transformers import AutoModel

    return AutoModel.from_pretrained(folder).eval()


def texts_of(bert: Bert, count: int = 6) -> Tensor:
    """Numbers of tokens, each text shorter by two than the one before."""
    ids = torch.randint(
        1,
        bert.config.vocabulary,
        (count, bert.config.length),
        generator=torch.Generator().manual_seed(1),
    )
    for row in range(count):
        ids[row, bert.config.length - 2 * row :] = bert.config.pad
    return ids


def transformers_answer(folder: Path, ids: Tensor, mask: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = loaded(folder)(ids, attention_mask=mask.long()).last_hidden_state
    return found


def test_full_width_is_transformers_output(folder: Path, bert: Bert) -> None:
    """Of padded texts: each real token, and their mean as sentence-transformers takes it."""
    ids = texts_of(bert)
    mask = bert.mask(ids)
    assert mask.sum(1).tolist() == [12, 10, 8, 6, 4, 2]
    theirs, ours = transformers_answer(folder, ids, mask), bert.encode(ids)
    assert torch.allclose(ours[mask], theirs[mask], atol=1e-5)
    mean = torch.stack([tokens[real].mean(0) for tokens, real in zip(theirs, mask, strict=True)])
    assert torch.allclose(bert.pooled(ours, mask), mean, atol=1e-5)
    assert theirs[mask].std(0).min() > 0.1, "and these are not all the same"


def test_a_text_alone_is_answered_as_in_a_batch(bert: Bert) -> None:
    ids = texts_of(bert)
    alone = torch.cat([bert(row[None]) for row in ids])
    assert torch.allclose(alone, bert(ids), atol=1e-5)
    bert.reset_classifier(3)
    other = ids.clone()
    other[5, 1] = 7
    assert not torch.allclose(bert(other), bert(ids), atol=1e-5)
    assert torch.isfinite(bert(torch.full((1, LENGTH), bert.config.pad))).all()


def test_importance_knows_no_padding(bert: Bert) -> None:
    """Texts of four tokens have the importance that they have in a model for four tokens."""
    bert.reset_classifier(3)
    ids, labels = texts_of(bert)[:, :4], torch.tensor([0, 1, 2, 0, 1, 2])
    ids[:, 3] = 5
    short = build(config_from({**bert.config.to_dict(), "length": 4}))
    state = bert.state_dict()
    short.load_state_dict({**state, "places": state["places"][:, :4]})
    padded = torch.nn.functional.pad(ids, (0, LENGTH - 4), value=bert.config.pad)
    found = importance.importance(bert, padded, labels)
    for kind, expected in importance.importance(short, ids, labels).items():
        assert torch.allclose(found[kind], expected, rtol=1e-4, atol=1e-7)
        assert (expected > 0).all()


def test_words_that_are_left_out(bert: Bert) -> None:
    bert.reset_classifier(3)
    ids = texts_of(bert)
    words = ids.unique()
    small = slicing.trimmed(bert, words)
    assert torch.equal(small(torch.searchsorted(words, ids)), bert(ids))
    left = bert.config.vocabulary - len(words)
    assert parameter_count(small) == parameter_count(bert) - 32 * left
    assert backbone_parameters(small.config) == parameter_count(small) - 32 * 3 - 3
    assert config_from(json.loads(json.dumps(small.config.to_dict()))) == small.config


def test_padding_is_padding_wherever_its_row_goes(bert: Bert) -> None:
    bert.reset_classifier(3)
    words = torch.tensor([9, 4, bert.config.pad, 6])
    small = slicing.trimmed(bert, words)
    assert small.config.pad == 2  # type: ignore[attr-defined]
    own = torch.tensor([[1, 0, 3, *[2] * 9]])
    assert torch.equal(small(own), bert(words[own]))


def test_who_has_no_words_to_leave_out_says_so(bert: Bert) -> None:
    with pytest.raises(ValueError, match="hold the padding, 0, 0 times"):
        slicing.trimmed(bert, torch.tensor([4, 5]))
    with pytest.raises(ValueError, match="a vit has no words"):
        slicing.trimmed(build(VIT), torch.tensor([4, 5]))


def test_the_table_of_units_names_every_tensor_of_heads_and_neurons(bert: Bert) -> None:
    """Whatever has as many entries as there are heads' channels or neurons is in the table, on
    that axis."""
    block = dict(bert.blocks[0].named_parameters())
    found = {(u.tensor, u.axis, u.kind) for u in units_of(bert.config) if u.layered}
    inner = {f"attn.{part}.{of}" for part in ("query", "key", "value") for of in ("weight", "bias")}
    expected = {(name, 0, "heads") for name in inner} | {("attn.output.weight", 1, "heads")}
    expected |= {("mlp.fc1.weight", 0, "mlp_hidden"), ("mlp.fc1.bias", 0, "mlp_hidden")}
    assert found == expected | {("mlp.fc2.weight", 1, "mlp_hidden")}
    assert {n for n, v in block.items() if 64 in v.shape} == {
        n for n, _, kind in found if kind == "mlp_hidden"
    }


def test_zeta_and_the_true_count_by_hand(bert: Bert) -> None:
    """Zeta counts layers' matrices alone: no embeddings, of which most of a small BERT is made."""
    config, attention = bert.config, 4 * (32 * 32 + 32)
    assert attention_parameters(config) == attention
    assert zeta(0.5, 2, config) == 0.5 * 2 * (attention + 2 * 32 * 64)
    layer = attention + 2 * 32 * 64 + 64 + 32 + 4 * 32
    embeddings = (config.vocabulary + LENGTH) * 32 + 2 * 32
    assert backbone_parameters(config) == embeddings + 3 * layer
    assert config.positions == LENGTH - 1, "N of Eq. 2: tokens after [CLS]"


def test_a_cut_bert_is_transformers_pruned_one(folder: Path, bert: Bert) -> None:
    """A sliced model equals transformers' own with the same heads and neurons at zero."""
    model, ids = loaded(folder), texts_of(bert)
    small = slicing.slice_variant(bert, 0.5, 2)
    with torch.no_grad():
        for layer in model.encoder.layer:
            layer.attention.output.dense.weight[:, 2 * 8 :] = 0
            layer.output.dense.weight[:, 32:] = 0
        model.encoder.layer = model.encoder.layer[:2]
        mask = bert.mask(ids)
        theirs = model(ids, attention_mask=mask.long()).last_hidden_state
    assert (small.config.heads, small.config.mlp_hidden, small.config.depth) == (2, 32, 2)
    assert torch.allclose(small.encode(ids)[mask], theirs[mask], atol=1e-5)
    views = elastic.forward(bert, ids, 0.5, range(2)).hidden[-1]
    assert torch.allclose(views[mask], theirs[mask], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dim", "layers", "heads", "neurons", "count"),
    [(768, 12, 12, 3072, 109_482_240), (384, 12, 12, 1536, 33_360_000)],
    ids=["bert-base", "MiniLM-L12"],
)
def test_encoders_of_other_sizes(
    tmp_path: Path, dim: int, layers: int, heads: int, neurons: int, count: int
) -> None:
    """With weights that are drawn, as their configurations on the hub have them; ``count`` is the
    whole model's, of which ours lacks the pooler, the second type and what 32 tokens do not
    reach."""
    folder = tiny_encoder(
        tmp_path,
        vocab_size=30_522,
        hidden_size=dim,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=neurons,
        max_position_embeddings=512,
        initializer_range=0.02,
    )
    bert = adopt(loaded(folder), 32)  # which proves that outputs are the same
    left_out = dim * dim + dim + 2 * dim + (512 - 32) * dim
    assert backbone_parameters(bert.config) == count - left_out


@pytest.mark.slow
def test_the_real_encoder(tmp_path: Path) -> None:
    """all-MiniLM-L6-v2, where ``ACME_TEST_ENCODER`` names its folder: padded texts, every width."""
    place = os.environ.get("ACME_TEST_ENCODER")
    if place is None:
        pytest.skip("ACME_TEST_ENCODER names no folder")
    bert = adopt(loaded(Path(place)), 32)
    ids = texts_of(bert, 8)
    mask = bert.mask(ids)
    assert torch.allclose(
        bert.encode(ids)[mask], transformers_answer(Path(place), ids, mask)[mask], atol=1e-5
    )
    assert backbone_parameters(bert.config) == 22_380_288
    for width in (0.25, 0.5, 1.0):
        small = slicing.slice_variant(bert, width, 4)
        views = elastic.forward(bert, ids, width, range(4)).hidden[-1]
        assert torch.allclose(small.encode(ids)[mask], views[mask], atol=1e-5)


def test_other_outputs_are_no_proof(folder: Path, bert: Bert) -> None:
    theirs = loaded(folder)
    prove(theirs, bert)
    with torch.no_grad():
        theirs.encoder.layer[1].output.LayerNorm.bias += 1e-3
    with pytest.raises(RefusedError, match="other outputs"):
        prove(theirs, bert)
