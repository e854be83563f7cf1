"""Samples are told apart by their content."""

from __future__ import annotations

import numpy as np

from tasks.data.dataset import content_hashes, first_occurrences, texts_of


def test_the_same_letters_are_the_same_text_however_they_are_spelt() -> None:
    texts = texts_of(["Töne", "To\u0308ne", "Tone", "töne", ""])
    hashes = content_hashes(texts)
    assert hashes[0] == hashes[1]
    assert len(set(hashes.tolist())) == 4
    [first] = first_occurrences(hashes)
    assert first.tolist() == [0, 2, 3, 4]


def test_texts_are_an_array_of_them() -> None:
    texts = texts_of(["a", "bc"])
    assert texts.shape == (2,)
    assert texts.dtype == object
    assert texts_of([]).shape == (0,)
    assert texts[np.array([1, 0])].tolist() == ["bc", "a"]
