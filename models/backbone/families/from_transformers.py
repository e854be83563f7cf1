"""transformers' BertModel as one of ours: taken over where it is shown to compute the same, and
refused by name where it is not.

The only part of the backbone that needs transformers: the cloud's, where an encoder is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from models.backbone.families.bert import Bert, BertConfig, Pool
from models.backbone.families.refused import TOLERANCE, RefusedError

LAYER = {
    "attention.self.query": "attn.query",
    "attention.self.key": "attn.key",
    "attention.self.value": "attn.value",
    "attention.output.dense": "attn.output",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "output.LayerNorm": "norm2",
}
"""What transformers calls the parts of a layer, and what we do."""


def adopt(bert: Any, length: int, pool: Pool = "mean") -> Bert:
    """Our module with the weights of transformers' BertModel, for texts of ``length`` tokens, in
    evaluation mode; it is proven to compute the same.

    It has no reference header. All tokens of a text are of the first type, so that type's
    embedding is added to the positions'. Dropout is left out: it is of another training.

    Raises:
        RefusedError: ours cannot stand for it; what is the reason is named.
    """
    config = config_of(bert, length, pool)
    module = Bert(config)
    module.load_state_dict(_renamed(bert.state_dict(), config))
    prove(bert, module.eval())
    return module


def config_of(bert: Any, length: int, pool: Pool) -> BertConfig:
    """The configuration of transformers' BertModel, for texts of ``length`` tokens.

    Raises:
        RefusedError: it has parts that are known not to be ours; they are named.
    """
    _refuse_unknown_parts(bert, length)
    given = bert.config
    return BertConfig(
        classes=0,
        dim=given.hidden_size,
        depth=given.num_hidden_layers,
        heads=given.num_attention_heads,
        head_dim=given.hidden_size // given.num_attention_heads,
        mlp_hidden=given.intermediate_size,
        vocabulary=given.vocab_size,
        length=length,
        pad=given.pad_token_id,
        norm_eps=given.layer_norm_eps,
        pool=pool,
    )


@torch.no_grad()
def prove(theirs: Any, ours: Bert) -> None:
    """Show that two models compute the same: tokens of made-up texts, of which some are padded.

    Raises:
        RefusedError: they do not.
    """
    config, stream = ours.config, torch.Generator().manual_seed(0)
    ids = torch.randint(config.vocabulary, (4, config.length), generator=stream)
    for row, left in enumerate((config.length, config.length - 1, 1 + config.length // 2, 1)):
        ids[row, left:] = config.pad
    mask = ours.mask(ids)
    try:
        given = theirs.eval()(ids, attention_mask=mask.long()).last_hidden_state
    except (RuntimeError, TypeError, IndexError) as error:
        raise RefusedError(f"it does not run: {str(error)[:200]}") from None
    found = ours.encode(ids)
    if not torch.allclose(found[mask], given[mask], rtol=TOLERANCE, atol=TOLERANCE):
        raise RefusedError("rebuilt from its settings, it has other outputs")


def refuse_class(model: Any) -> None:
    """Raises RefusedError if a model is not transformers' BertModel."""
    from transformers import BertModel

    if type(model) is not BertModel:
        raise RefusedError(f"it is a {type(model).__name__}, not transformers' BertModel")


def _refuse_unknown_parts(bert: Any, length: int) -> None:
    refuse_class(bert)
    given = bert.config
    positions = getattr(given, "position_embedding_type", None) or "absolute"
    unknown = {
        f"{positions.replace('_', ' ')} positions": positions != "absolute",
        f"only {given.max_position_embeddings} positions, and texts have {length} tokens": (
            given.max_position_embeddings < length
        ),
        f"another activation than GELU ({given.hidden_act})": given.hidden_act != "gelu",
        "a causal mask": given.is_decoder,
        "cross attention": given.add_cross_attention,
        "no padding token": given.pad_token_id is None,
        "quantised weights": getattr(given, "quantization_config", None) is not None,
        **{f"{type(part).__name__} in it": _foreign(part) for part in bert.modules()},
    }
    if found := [what for what, present in unknown.items() if present]:
        raise RefusedError(f"it has {', '.join(found)}")


def _foreign(part: nn.Module) -> bool:
    """Whether a module is neither torch's nor transformers' own."""
    return type(part).__module__.partition(".")[0] not in ("torch", "transformers")


def _renamed(given: Mapping[str, Tensor], config: BertConfig) -> dict[str, Tensor]:
    """The weights under our names, without the positions and types that no text reaches."""
    of = "embeddings."
    places = given[f"{of}position_embeddings.weight"][: config.length]
    state = {
        "words.weight": given[f"{of}word_embeddings.weight"],
        "places": (places + given[f"{of}token_type_embeddings.weight"][0])[None],
    }
    for part in ("weight", "bias"):
        state[f"norm.{part}"] = given[f"{of}LayerNorm.{part}"]
        for layer in range(config.depth):
            for theirs, ours in LAYER.items():
                name = f"encoder.layer.{layer}.{theirs}.{part}"
                state[f"blocks.{layer}.{ours}.{part}"] = given[name]
    return state
