"""Texts as tokens, by the tokenizer of the encoder that lies with the data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import digits
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.data.encoder import FOLDER as ENCODER
from tasks.run.errors import DataError, SettingsError

Tokens = NDArray[np.int32]
"""``(n, length)``."""
TOKENIZER, CONFIG = "tokenizer.json", "config.json"
ENDS = ("TemplateProcessing", "BertProcessing")
"""Kinds of what puts [CLS] and [SEP] around a text."""


@dataclass(frozen=True)
class Tokenizer:
    """A ``tokenizer.json`` of word pieces, by which texts are cut and padded to a length.

    Attributes:
        content: the file's.
        length: tokens of a text.
        pad: the number of none.
        vocabulary: rows that the encoder has, of which the tokenizer may not use the last ones.
    """

    content: str
    length: int
    pad: int
    vocabulary: int

    def numbers(self, texts: Iterable[str]) -> Tokens:
        """Texts as numbers of tokens."""
        import tokenizers

        tokenizer = tokenizers.Tokenizer.from_str(self.content)
        tokenizer.enable_truncation(self.length)
        tokenizer.enable_padding(
            length=self.length, pad_id=self.pad, pad_token=tokenizer.id_to_token(self.pad)
        )
        found = [encoded.ids for encoded in tokenizer.encode_batch(list(texts))]
        return np.array(found, np.int32).reshape(-1, self.length)


def tokenizer_in(folder: Path, length: int) -> Tokenizer:
    """The tokenizer of the encoder of a data's folder.

    Raises:
        DataError: it is not there, damaged, of a kind that has no word pieces, or of another
            vocabulary than the encoder.
        SettingsError: the encoder takes no texts of that length.
    """
    place = folder / ENCODER / TOKENIZER
    content, config = _content(place), _config(folder / ENCODER / CONFIG)
    positions = config.get("max_position_embeddings", length)
    if not isinstance(positions, int) or length > positions:
        raise SettingsError(f"data.length: {length}, but the encoder takes {positions} tokens")
    pieces = pieces_of(content, place)
    rows, pad = config.get("vocab_size"), config.get("pad_token_id", 0)
    if not isinstance(rows, int) or max(pieces.values()) >= rows:
        raise DataError(
            f"{place}: its words are numbered up to {max(pieces.values()):,}, but the encoder's "
            f"vocabulary (vocab_size in {CONFIG}) is {rows}: take both of one model"
        )
    if pad not in pieces.values():
        raise DataError(f"{place}: no word {pad}, which {CONFIG} calls padding (pad_token_id)")
    return Tokenizer(content, length, pad, rows)


def pieces_of(content: str, place: Path) -> dict[str, int]:
    """The number of each piece and added token of a tokenizer.json.

    Raises:
        DataError: it is none, or has no word pieces.
    """
    import tokenizers

    try:
        values = json.loads(content)
        pieces = dict(tokenizers.Tokenizer.from_str(content).get_vocab())
    except Exception as error:  # what the library raises is no narrower
        raise DataError(f"{place}: no tokenizer ({' '.join(str(error).split())[:200]})") from None
    kind = values["model"].get("type", "WordPiece" if "unk_token" in values["model"] else "other")
    ends = (values.get("post_processor") or {}).get("type")
    if kind != "WordPiece":
        raise DataError(f"{place}: a tokenizer of kind {kind}; ACME takes WordPiece, as BERT has")
    if ends not in ENDS:
        raise DataError(f"{place}: post_processor {ends}; ACME takes {' or '.join(ENDS)}")
    return pieces


def first_letter(pieces: Mapping[str, int]) -> int:
    """The number of the first token of letters, behind all digits."""
    letters = min((at for piece, at in pieces.items() if piece.isalpha()), default=0)
    return max(letters, *(pieces.get(digit, -1) + 1 for digit in digits))


def _content(place: Path) -> str:
    try:
        return place.read_text("utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise DataError(f"{place}: {why}. To bring the encoder: acme data fetch") from None


def _config(place: Path) -> Mapping[str, Any]:
    try:
        values = json.loads(_content(place))
    except ValueError as error:
        raise DataError(f"{place}: not JSON ({error})") from None
    if not isinstance(values, Mapping):
        raise DataError(f"{place}: no values by name")
    return values
