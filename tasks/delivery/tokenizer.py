"""The tokenizer of a model of texts that ships: beside it, in the numbers of its own words."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tasks.data.modality import DataInfo, of_texts
from tasks.data.tokens import TOKENIZER
from tasks.data.words import restricted
from tasks.run.errors import ArtifactError
from tasks.run.files import read_bytes
from tasks.run.store import Ref, read, read_tensors


@dataclass(frozen=True)
class Words:
    """What a model keeps of an encoder's vocabulary: sorted ``numbers (k,)`` of its tokens there;
    ``tokenizer`` is the whole one's tokenizer.json."""

    numbers: Tensor
    tokenizer: str


def words_kept(samples: Ref, tokenizer: Ref | None) -> Words | None:
    """What a device keeps, by its samples' file; None where it keeps all, or its data are no texts.

    Raises:
        ArtifactError: a file is missing or damaged.
    """
    tensors, _ = read_tensors(samples)
    if tokenizer is None or "words" not in tensors:
        return None
    return Words(tensors["words"], read(tokenizer).decode())


def own_tokenizer(words: Words, info: DataInfo) -> str:
    """The tokenizer.json of these words alone, which cuts and pads texts as the model takes
    them."""
    from tokenizers import Tokenizer

    texts = of_texts(info)
    padding = str(Tokenizer.from_str(words.tokenizer).id_to_token(texts.pad))
    own = Tokenizer.from_str(restricted(words.tokenizer, words.numbers.tolist()))
    own.enable_truncation(texts.length)
    own.enable_padding(length=texts.length, pad_id=own.token_to_id(padding), pad_token=padding)
    content: str = own.to_str()
    return content


def sha256(content: str) -> str:
    """As the state says it."""
    return hashlib.sha256(content.encode()).hexdigest()


def read_tokenizer(state: Path) -> str | None:
    """The tokenizer beside a model's state file, which says its hash; None where it has none.

    Raises:
        ArtifactError: it is not the one that the model was made with.
    """
    _, values = read_tensors(state)
    if TOKENIZER not in values:
        return None
    file = state.with_name(TOKENIZER)
    content = read_bytes(file)
    if hashlib.sha256(content).hexdigest() != values[TOKENIZER]:
        raise ArtifactError(f"{file.name}: not the tokenizer that {state.name} was made with")
    return content.decode()


def texts_as_inputs(texts: list[str], tokenizer: str) -> Tensor:
    """Texts as the model takes them whose tokenizer this is ``(n, length)``."""
    from tokenizers import Tokenizer

    return torch.tensor([e.ids for e in Tokenizer.from_str(tokenizer).encode_batch(texts)])


def renumbered(raw: Tensor, own: str, whole: Ref, info: DataInfo) -> Tensor:
    """Raw texts, numbered in the ``whole`` tokenizer, as a model takes them that has its ``own``.
    Where they have tokens that it has not, since its words were others, it reads the texts anew.

    Raises:
        ArtifactError: it was made with another encoder's tokenizer.
    """
    from tokenizers import Tokenizer

    everything = Tokenizer.from_str(read(whole).decode())
    known, mine = everything.get_vocab(), Tokenizer.from_str(own).get_vocab()
    if not mine.keys() <= known.keys():
        raise ArtifactError("its tokenizer is of another encoder than the data's")
    try:
        return info.shipped(raw, torch.tensor(sorted(known[piece] for piece in mine)))
    except ValueError:
        return texts_as_inputs(everything.decode_batch(raw.tolist()), own)
