"""An encoder of texts from a folder, as hubs and sentence-transformers lay one out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from models.backbone.families.bert import Bert, Pool
from models.backbone.families.from_transformers import adopt, refuse_class
from models.backbone.families.refused import RefusedError
from tasks.run.cached import retried
from tasks.run.errors import SettingsError
from tasks.run.modules import put_backbone
from tasks.run.store import Ref

UNUSED = ("pooler.", "cls.", "classifier.", "embeddings.position_ids")
"""Weights of heads that an encoder was trained with (it is read without them), and what older
files count."""
POOLINGS: dict[str, Pool] = {"mean_tokens": "mean", "cls_token": "cls"}
"""sentence-transformers' ways that are ours too."""
AFTER = ("Transformer", "Pooling", "Normalize")
"""Its modules of such an encoder. The length to which it brings sentences does not matter to a
header of ours."""


LOADING = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError)
"""What transformers raises where it cannot load a model."""


@retried("cloud: take over the encoder")
def bring_encoder(folder: Path, length: int) -> Ref:
    """The encoder beside the data, as one of our backbones, without a header: kept by its content,
    so that another encoder is another input.

    Raises:
        SettingsError: ours cannot stand for it; what is the reason is named.
    """
    try:
        return put_backbone(load_encoder(folder, length))
    except RefusedError as error:
        raise SettingsError(f"data.encoder: {error}") from None


def load_encoder(folder: Path, length: int) -> Bert:
    """The encoder in a local folder, for texts of ``length`` tokens: proven to compute what
    transformers does. The folder holds ``config.json``, ``model.safetensors`` and, where
    sentence-transformers made it, ``modules.json`` and ``1_Pooling/config.json``.

    Raises:
        RefusedError: ours cannot stand for it; what is the reason is named.
    """
    return adopt(_loaded(folder), length, pooling_of(folder))


def pooling_of(folder: Path) -> Pool:
    """How the encoder in a folder makes one vector of a text: as sentence-transformers' files say;
    without them, the mean.

    Raises:
        RefusedError: in another way.
    """
    modules = _json(folder / "modules.json") or ()
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    if unknown := [kind for kind in kinds if kind not in AFTER]:
        raise RefusedError(f"it has {', '.join(unknown)} after its tokens")
    values = _json(folder / "1_Pooling" / "config.json")
    if values is None:
        return "mean"
    prefix = "pooling_mode_"
    ways = [name.removeprefix(prefix) for name, on in values.items() if on is True]
    if len(ways) != 1 or ways[0] not in POOLINGS:
        raise RefusedError(f"it pools by {' and '.join(ways) or 'nothing that is known'}")
    return POOLINGS[ways[0]]


def _loaded(folder: Path) -> Any:
    """transformers' model, in single precision. What its file holds and the model does not, or the
    other way round, is refused: it would be left out, or drawn at random."""
    import torch
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()  # of what is unexpected: it is said here
    if not (folder / "config.json").is_file():
        raise RefusedError(f"{folder} has no config.json")
    try:
        model, told = AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
    except LOADING as error:
        words = " ".join(str(error).split())[:200]
        raise RefusedError(f"transformers cannot load it: {words}") from None
    refuse_class(model)  # first: of another model, all weights are unknown
    _refuse_incomplete(told)
    return model


def _refuse_incomplete(told: Mapping[str, Any]) -> None:
    for what, names in (("no weights of", told["missing_keys"]), ("", told["unexpected_keys"])):
        if parts := sorted(name for name in names if not name.startswith(UNUSED)):
            raise RefusedError(f"it has {what} {parts[0]}".replace("  ", " "))


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text()) if file.is_file() else None
    except ValueError as error:
        raise RefusedError(f"{file.name} is no JSON: {error}") from None
