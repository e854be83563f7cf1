"""Whether the encoder that settings of texts name can be what every backbone is cut from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from models.backbone.families.bert import BertConfig
from models.backbone.families.refused import RefusedError
from tasks.data import encoder
from tasks.data.dealing import deal, raw_of
from tasks.data.texts import RawTexts
from tasks.data.tokens import CONFIG, tokenizer_in
from tasks.data.words import Words, always, words_of
from tasks.run.errors import SettingsError
from tasks.run.files import sha256_of
from tasks.settings.params import Data, Settings

SHAPE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
"""What a BERT's configuration calls its dimensions, layers, heads and neurons."""


def is_there(data: Data) -> bool:
    """Whether the encoder lies with the data."""
    return all((data.folder / encoder.FOLDER / name).is_file() for name in encoder.NEEDED)


def encoder_config(data: Data, classes: int) -> BertConfig:
    """What the encoder that lies with the data is like, by its configuration alone.

    Raises:
        SettingsError: it is no BERT, or another one than the settings name.
        DataError: its tokenizer is none, or another's.
    """
    folder = data.folder / encoder.FOLDER
    require_same(str(data.encoder), folder)
    tokenizer = tokenizer_in(data.folder, data.length)
    given = json.loads((folder / CONFIG).read_text())
    if given.get("model_type") != "bert":
        raise SettingsError(
            f"data.encoder: {data.encoder} is of kind {given.get('model_type')}; ACME takes bert"
        )
    dim, depth, heads, neurons = (_count(given, name) for name in SHAPE)
    if dim % heads:
        raise SettingsError(f"data.encoder: {dim} dimensions are no multiple of {heads} heads")
    return BertConfig(
        classes=classes,
        dim=dim,
        depth=depth,
        heads=heads,
        head_dim=dim // heads,
        mlp_hidden=neurons,
        vocabulary=tokenizer.vocabulary,
        length=data.length,
        pad=tokenizer.pad,
    )


def _count(given: Mapping[str, Any], name: str) -> int:
    value = given.get(name)
    if not isinstance(value, int) or value < 1:
        raise SettingsError(
            f"data.encoder: {name} of its {CONFIG} is {value!r}: not a whole number"
        )
    return value


def require_same(named: str, folder: Path) -> None:
    """Raises SettingsError if the settings name an encoder by its files, and others lie with the
    data."""
    known = encoder.KNOWN.get(named, {})
    if not known and Path(named).is_dir():
        files = [Path(named) / name for name in encoder.NEEDED]
        known = {file.name: sha256_of(file) for file in files if file.is_file()}
    for name, sha256 in known.items():
        if sha256_of(folder / name) != sha256:
            raise SettingsError(
                f"data.encoder: {named}, but {folder / name} is of another: remove {folder}, then: "
                "acme data fetch"
            )


def prove(settings: Settings) -> None:
    """Load the encoder, as the backbone's stage will. Raises SettingsError if ours cannot stand for
    it."""
    from tasks.cloud.encoder import load_encoder

    spec = settings.data
    if spec.modality != "text" or not is_there(spec):
        return
    try:
        load_encoder(spec.folder / encoder.FOLDER, spec.length)
    except RefusedError as error:
        raise SettingsError(f"data.encoder: {spec.encoder}: {error}") from None


def words_kept(settings: Settings) -> Mapping[str, int]:
    """How many words of the vocabulary each device will keep, by its name.

    Raises:
        DataError, SettingsError: as :func:`tasks.data.dealing.deal`; or a teacher is to read
            translations, of which there are none.
    """
    dealt = deal(settings)
    if settings.backbone.distillation.parallel and dealt.data.train_parallel is None:
        raise SettingsError(
            f"backbone.distillation.parallel: {settings.data.source} has no translations: set false"
        )
    raw = raw_of(settings, dealt)
    assert isinstance(raw, RawTexts)
    return {name: len(words) for name, words in raw.words.items()}


def least_words(data: Data) -> int:
    """How many every device keeps, whatever its texts."""
    return len(always(tokenizer_in(data.folder, data.length)))


def words_in(data: Data, texts: Iterable[str]) -> Words:
    """All words that devices with these texts may keep."""
    tokenizer = tokenizer_in(data.folder, data.length)
    return words_of(always(tokenizer), tokenizer.numbers(texts))
