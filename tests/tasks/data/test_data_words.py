"""What a device keeps of a vocabulary, and that whatever is written can be tokenised by it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.tokens import Tokenizer, tokenizer_in
from tasks.data.words import always, numbers_by, restricted, words_of
from tests.texts import texts, write_tokenizer

LENGTH = 12
TEXTS = texts(of_each=8)["text"].tolist()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("data")
    write_tokenizer(folder / "encoder", TEXTS)
    return tokenizer_in(folder, LENGTH)


def pieces(tokenizer: Tokenizer) -> dict[str, int]:
    found: dict[str, int] = json.loads(tokenizer.content)["model"]["vocab"]
    return found


def library(tokenizer: Tokenizer) -> Any:
    """What others tokenise with."""
    import tokenizers

    return tokenizers.Tokenizer.from_str(tokenizer.content)


def test_special_tokens_and_single_characters_are_always_kept(whole: Tokenizer) -> None:
    of, kept = pieces(whole), set(always(whole).tolist())
    assert {of[name] for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")} <= kept
    assert {of["a"], of["##a"], of["ü"], of["#"], of["###"]} <= kept
    assert not {of["the"], of["##ing"], of["spiel"]} & kept


def test_a_vocabulary_with_all_pieces_changes_nothing(whole: Tokenizer) -> None:
    every = np.arange(whole.vocabulary, dtype=np.int32)
    assert json.loads(restricted(whole.content, every)) == json.loads(whole.content)
    assert (numbers_by(every, whole, TEXTS) == whole.numbers(TEXTS)).all()


def test_a_text_of_kept_words_is_as_it_was_and_another_falls_to_smaller_pieces(
    whole: Tokenizer,
) -> None:
    of = pieces(whole)
    words = words_of(always(whole), whole.numbers(["Spiel und Musik"]))
    assert (numbers_by(words, whole, ["musik spiel"]) == whole.numbers(["musik spiel"])).all()
    [numbers] = numbers_by(words, whole, ["Lied"])
    assert of["lied"] not in words
    ends = [of["[SEP]"], *[of["[PAD]"]] * (LENGTH - 6)]
    assert numbers.tolist() == [of["[CLS]"], of["l"], of["##i"], of["##e"], of["##d"], *ends]


@settings(max_examples=50)
@given(
    text=st.text(max_size=80) | st.text("abß日 \u0300\U0001f600\ud7ff[PADSE]#", max_size=80),
    seed=st.integers(0, 99),
)
def test_any_text_is_tokenised_by_any_vocabulary_as_the_shipped_file_says(
    text: str, seed: int, whole: Tokenizer
) -> None:
    drawn = np.random.default_rng(seed).choice(whole.vocabulary, 20).astype(np.int32)
    words = words_of(always(whole), drawn)
    [numbers] = numbers_by(words, whole, [text])
    assert numbers.shape == (LENGTH,)
    assert set(numbers.tolist()) <= set(words.tolist())
    shipped = library(replace(whole, content=restricted(whole.content, words)))
    assert shipped.get_vocab_size() == len(words)
    unknown = pieces(whole)["[UNK]"]  # characters of no row at all, and nothing else
    found = words[shipped.encode(text).ids].tolist()
    assert found.count(unknown) == library(whole).encode(text).ids.count(unknown)
    shipped.enable_truncation(LENGTH)
    ids = shipped.encode(text).ids
    assert words[ids].tolist() == numbers[: len(ids)].tolist()
    assert set(numbers[len(ids) :].tolist()) <= {whole.pad}
    assert set(ids) <= set(range(len(words)))


def test_padding_and_the_ends_of_older_files_are_renumbered(whole: Tokenizer) -> None:
    values = json.loads(whole.content)
    of = values["model"]["vocab"]
    ends = {"cls": ["[CLS]", of["[CLS]"]], "sep": ["[SEP]", of["[SEP]"]]}
    values["post_processor"] = {"type": "BertProcessing", **ends}
    values["padding"] = {
        "strategy": "BatchLongest",
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": of["[MASK]"],
        "pad_type_id": 0,
        "pad_token": "[MASK]",
    }
    words = np.array(sorted({*always(whole).tolist()} - {1}), np.int32)
    words = words_of(np.array([of["[UNK]"]], np.int32), words)
    found = json.loads(restricted(json.dumps(values), words))
    assert found["padding"]["pad_id"] == words.tolist().index(of["[MASK]"])
    assert found["post_processor"]["cls"] == ["[CLS]", words.tolist().index(of["[CLS]"])]
    assert found["model"]["vocab"]["a"] == words.tolist().index(of["a"])
