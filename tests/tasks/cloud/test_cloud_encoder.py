"""Which encoders are taken from a folder, and which are refused by the name of their part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.backbone.families.refused import RefusedError
from tasks.cloud.encoder import load_encoder
from tests.encoders import tiny_encoder

LENGTH = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_attention_heads": 2, "intermediate_size": 20, "num_hidden_layers": 5},
        {"layer_norm_eps": 1e-5, "hidden_dropout_prob": 0.3, "type_vocab_size": 1},
        {"pad_token_id": 1, "max_position_embeddings": LENGTH, "hidden_size": 16},
    ],
)
def test_other_encoders_of_that_kind_are_taken(tmp_path: Path, changes: dict[str, Any]) -> None:
    config = load_encoder(tiny_encoder(tmp_path, **changes), LENGTH).config
    assert config.pad == changes.get("pad_token_id", 0)
    assert config.depth == changes.get("num_hidden_layers", 3)
    assert config.heads == changes.get("num_attention_heads", 4)
    assert config.norm_eps == changes.get("layer_norm_eps", 1e-12)


def edited(folder: Path, to: Path, **changes: Any) -> Path:
    """A copy of an encoder with another configuration."""
    to.mkdir(exist_ok=True)
    values = json.loads((folder / "config.json").read_text()) | changes
    (to / "config.json").write_text(json.dumps(values))
    (to / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    return to


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_act": "relu"}, r"another activation than GELU \(relu\)"),
        ({"hidden_act": "gelu_new"}, r"another activation than GELU \(gelu_new\)"),
        ({"position_embedding_type": "relative_key"}, "relative key positions"),
        ({"is_decoder": True}, "a causal mask"),
        ({"max_position_embeddings": 64, "pad_token_id": None}, "no padding token"),
        ({"num_hidden_layers": 4}, "no weights of encoder.layer.3"),
        ({"num_hidden_layers": 2}, "encoder.layer.2"),
        ({"is_decoder": True, "add_cross_attention": True}, "no weights of .*crossattention"),
        ({"hidden_size": 48}, "transformers cannot load it"),
        ({"model_type": "roberta"}, "it is a RobertaModel, not transformers' BertModel"),
        ({"model_type": "distilbert"}, "it is a DistilBertModel"),
        ({"model_type": "unheard-of"}, "transformers cannot load it: .*unheard-of"),
    ],
)
def test_a_foreign_encoder_is_refused_by_the_name_of_its_part(
    folder: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(RefusedError, match=words):
        load_encoder(edited(folder, tmp_path, **changes), LENGTH)


def test_weights_that_belong_to_nothing_are_refused(folder: Path, tmp_path: Path) -> None:
    """What an adapter holds would be left out; what the encoder was trained with may be."""
    edited(folder, tmp_path)
    weights = load_file(folder / "model.safetensors")
    further = {"cls.predictions.bias": torch.zeros(3), "pooler.dense.bias": torch.zeros(32)}
    save_file(weights | further, tmp_path / "model.safetensors", {"format": "pt"})
    assert load_encoder(tmp_path, LENGTH).config.depth == 3
    further = {"encoder.layer.0.adapter.weight": torch.zeros(3)}
    save_file(weights | further, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(RefusedError, match=r"it has encoder.layer.0.adapter.weight"):
        load_encoder(tmp_path, LENGTH)


def test_a_text_longer_than_the_encoder_s_is_refused(folder: Path) -> None:
    with pytest.raises(RefusedError, match="only 64 positions, and texts have 65 tokens"):
        load_encoder(folder, 65)
    assert load_encoder(folder, 64).config.length == 64


def test_pickled_weights_are_not_read(folder: Path, tmp_path: Path) -> None:
    edited(folder, tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(RefusedError, match="transformers cannot load it"):
        load_encoder(tmp_path, LENGTH)
    with pytest.raises(RefusedError, match=r"has no config.json"):
        load_encoder(tmp_path / "nowhere", LENGTH)


@pytest.mark.parametrize(
    ("pooling", "modules", "found"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, (), "cls"),
        ({"pooling_mode_mean_tokens": True}, ("Pooling", "Normalize"), "mean"),
        ({"pooling_mode_max_tokens": True}, (), "it pools by max_tokens"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, (), "mean_tokens and"),
        ({"word_embedding_dimension": 32}, (), "it pools by nothing that is known"),
        (None, ("Transformer",), "mean"),
        (None, ("Pooling", "Dense"), "it has Dense after its tokens"),
    ],
)
def test_a_sentence_encoder_s_pooling(
    folder: Path, tmp_path: Path, pooling: dict[str, Any] | None, modules: Any, found: str
) -> None:
    edited(folder, tmp_path)
    kinds = [{"type": f"sentence_transformers.models.{name}"} for name in modules]
    (tmp_path / "modules.json").write_text(json.dumps(kinds))
    if pooling is not None:
        (tmp_path / "1_Pooling").mkdir()
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    if found in ("mean", "cls"):
        assert load_encoder(tmp_path, LENGTH).config.pool == found
    else:
        with pytest.raises(RefusedError, match=found):
            load_encoder(tmp_path, LENGTH)
