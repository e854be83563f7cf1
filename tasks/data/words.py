"""Which part of the encoder's vocabulary a device keeps: most of a small model is a row a word, and
most words are of no text of its.

A text of words that a device has not kept falls to smaller pieces, in the end to single characters,
which all are kept: so nothing that anybody may write is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tasks.data.tokens import Tokenizer, Tokens

Words = NDArray[np.int32]
"""Sorted numbers in the whole vocabulary ``(k,)``."""


def always(tokenizer: Tokenizer) -> Words:
    """What every device keeps: tokens that are no words, padding, and all single characters, alone
    and within a word."""
    values = json.loads(tokenizer.content)
    model = values["model"]
    within = model["continuing_subword_prefix"]
    kept = {token["id"] for token in values["added_tokens"]}
    kept |= {tokenizer.pad, model["vocab"][model["unk_token"]]}
    kept |= {at for piece, at in model["vocab"].items() if len(piece.removeprefix(within)) == 1}
    return np.array(sorted(kept), np.int32)


def words_of(*used: Tokens | Words) -> Words:
    """All of these, each once."""
    return np.unique(np.concatenate([numbers.ravel() for numbers in used])).astype(np.int32)


def numbers_by(words: Words, tokenizer: Tokenizer, texts: Iterable[str]) -> Tokens:
    """Texts as one tokenises them who has these words alone, in the numbers of the whole
    vocabulary."""
    pad = int(np.searchsorted(words, tokenizer.pad))
    content = restricted(tokenizer.content, words)
    return words[Tokenizer(content, tokenizer.length, pad, len(words)).numbers(texts)]


def restricted(content: str, words: Iterable[int]) -> str:
    """A tokenizer.json with these words alone, each numbered by its place among them (they are
    sorted). Of what :func:`always` says, none may be missing."""
    values = json.loads(content)
    place = {int(word): at for at, word in enumerate(words)}
    pieces = values["model"]["vocab"]
    kept = sorted((place[at], piece) for piece, at in pieces.items() if at in place)
    values["model"]["vocab"] = {piece: at for at, piece in kept}
    for token in values["added_tokens"]:
        token["id"] = place[token["id"]]
    ends = values["post_processor"]
    for token in ends.get("special_tokens", {}).values():  # TemplateProcessing
        token["ids"] = [place[at] for at in token["ids"]]
    for name in {"cls", "sep"} & set(ends):  # BertProcessing
        ends[name] = [ends[name][0], place[ends[name][1]]]
    if values.get("padding"):
        values["padding"]["pad_id"] = place[values["padding"]["pad_id"]]
    return json.dumps(values, ensure_ascii=False)
