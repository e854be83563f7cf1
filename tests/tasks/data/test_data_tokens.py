"""The tokenizer of an encoder, and which ones are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.data.tokens import Tokenizer, first_letter, tokenizer_in
from tasks.run.errors import AcmeError, DataError
from tests.texts import write_tokenizer


def encoder(folder: Path, **changes: Any) -> Path:
    write_tokenizer(folder / "encoder", ["ein kleines Spiel"], **changes)
    return folder


def test_texts_are_cut_and_padded(tmp_path: Path) -> None:
    tokenizer = tokenizer_in(encoder(tmp_path, vocab_size=1000), 5)
    assert (tokenizer.length, tokenizer.pad, tokenizer.vocabulary) == (5, 0, 1000)
    numbers = tokenizer.numbers(["Spiel", "ein kleines Spiel, ein Spiel", ""])
    assert numbers.shape == (3, 5)
    assert numbers.dtype == "int32"
    of = json.loads(tokenizer.content)["model"]["vocab"]
    cls, sep = of["[CLS]"], of["[SEP]"]
    assert numbers.tolist() == [
        [cls, of["spiel"], sep, 0, 0],
        [cls, of["ein"], of["kleines"], of["spiel"], sep],
        [cls, sep, 0, 0, 0],
    ]
    assert tokenizer.numbers([]).shape == (0, 5)


def test_what_the_file_says_of_length_does_not_matter(tmp_path: Path) -> None:
    place = encoder(tmp_path) / "encoder/tokenizer.json"
    plain = tokenizer_in(tmp_path, 8).numbers(["ein Spiel"])
    values = json.loads(place.read_text())
    values["truncation"] = {"max_length": 3, "strategy": "LongestFirst", "stride": 0}
    values["truncation"]["direction"] = "Right"
    place.write_text(json.dumps(values))
    assert (tokenizer_in(tmp_path, 8).numbers(["ein Spiel"]) == plain).all()


WRONG: dict[str, tuple[dict[str, Any], int, str]] = {
    "another vocabulary": (
        {"vocab_size": 9},
        8,
        r"numbered up to .* vocabulary .* is 9: take both",
    ),
    "no vocabulary": ({"vocab_size": None}, 8, "vocabulary .* is None"),
    "padding that is no word": ({"pad_token_id": 10**6}, 8, "no word 1000000, which .* padding"),
    "texts that are too long": ({}, 65, "data.length: 65, but the encoder takes 64 tokens"),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_encoder_that_does_not_fit_is_refused(name: str, tmp_path: Path) -> None:
    changes, length, said = WRONG[name]
    with pytest.raises(AcmeError, match=said) as caught:
        tokenizer_in(encoder(tmp_path, **changes), length)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_of_another_kind_or_none_is_refused(tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Library
    from tokenizers.models import BPE, Unigram

    place = encoder(tmp_path) / "encoder/tokenizer.json"
    whole = json.loads(place.read_text())
    wrong = {
        "a tokenizer of kind BPE": Library(BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")])).to_str(),
        "a tokenizer of kind Unigram": Library(Unigram([("a", -1.0)])).to_str(),
        "post_processor None": json.dumps({**whole, "post_processor": None}),
        r"no tokenizer \(": "{}",
        "no tokenizer": "torn",
    }
    for said, content in wrong.items():
        place.write_text(content)
        with pytest.raises(DataError, match=rf"tokenizer\.json: {said}") as caught:
            tokenizer_in(tmp_path, 8)
        assert "\n" not in str(caught.value)
    place.write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"tokenizer\.json: not UTF-8.*acme data fetch"):
        tokenizer_in(tmp_path, 8)
    place.unlink()
    with pytest.raises(DataError, match=r"tokenizer\.json: No such file.*acme data fetch"):
        tokenizer_in(tmp_path, 8)
    encoder(tmp_path)
    for content in ("torn", "[]"):
        (tmp_path / "encoder/config.json").write_text(content)
        with pytest.raises(DataError, match=r"config\.json: no"):
            tokenizer_in(tmp_path, 8)


def test_a_tokenizer_is_what_its_file_says(tmp_path: Path) -> None:
    found = tokenizer_in(encoder(tmp_path), 8)
    assert found == Tokenizer(
        (tmp_path / "encoder/tokenizer.json").read_text(), 8, 0, found.vocabulary
    )


def test_the_first_letter_is_behind_the_digits() -> None:
    assert first_letter({"[PAD]": 0, "!": 1, "7": 2, "a": 3, "the": 4}) == 3
    assert first_letter({"[PAD]": 0, "a": 1, "7": 2, "the": 3}) == 3
    assert first_letter({"[PAD]": 0, "##a": 1}) == 0
