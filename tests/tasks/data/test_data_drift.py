"""What counts as drift, and what is chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from tasks.data import drift
from tasks.data.histograms import by_chance
from tasks.data.modality import TextInfo
from tasks.data.samples import read_info, samples_ref
from tasks.device.drifted import describe
from tasks.run.errors import ValidationError
from tasks.run.store import Ref, put_tensors, read_tensors
from tasks.settings.case import Case
from tests.encoders import tiny_tokenizer
from tests.texts import TOPICS, sentence, texts


def test_labels_and_brightness_that_moved_are_drift(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    place = Case(finished).partition
    limits, info = drift.Thresholds(0.05, 0.1), read_info(place)
    here, there = samples_ref("device-00", place), samples_ref("device-01", place)
    facts = describe("device-00", here, info)
    assert sum(facts.labels) == pytest.approx(1)
    assert drift.check(here, facts, info, limits, tmp_path / "a") == {}
    moved = drift.check(there, facts, info, limits, tmp_path / "b")
    assert moved["label"] > 0.05
    tensors, _ = read_tensors(here)
    dark = {k: v // 4 if k.endswith("images") else v for k, v in tensors.items()}
    assert set(drift.check(put_tensors("samples", dark), facts, info, limits, tmp_path / "c")) == {
        "brightness"
    }
    wrong = {k: v.clone().fill_(77) if k == "val_labels" else v for k, v in tensors.items()}
    with pytest.raises(ValidationError, match="every label is a known class"):
        drift.check(put_tensors("samples", wrong), facts, info, limits, tmp_path / "d")
    assert (tmp_path / "d/data_docs/index.html").exists()


def test_texts_of_another_language_or_on_other_topics_are_drift(in_tmp: None) -> None:
    tiny_tokenizer(Path("encoder"), texts(("de",))["text"])
    tokenizer = Tokenizer.from_file("encoder/tokenizer.json")
    tokenizer.enable_truncation(12)
    tokenizer.enable_padding(length=12)
    letters, size = tokenizer.token_to_id("9") + 1, tokenizer.get_vocab_size()
    info = TextInfo("mine", (*TOPICS,), 12, size, 0, letters=letters)
    limits = drift.Thresholds()

    def samples(*groups: tuple[str, str, range]) -> Ref:
        tensors: dict[str, torch.Tensor] = {}
        for at, split in enumerate(("train", "val")):
            rows = [(t, lang, n) for t, lang, numbers in groups for n in numbers[at::2]]
            written = [sentence(*row).rpartition(" ")[0] for row in rows]  # less its number
            tokens = torch.tensor([e.ids for e in tokenizer.encode_batch(written)])
            tensors[f"{split}_tokens"] = tokens.int()
            tensors[f"{split}_labels"] = torch.tensor([info.classes.index(t) for t, *_ in rows])
        return put_tensors("samples", tensors)

    def german(numbers: range) -> list[tuple[str, str, range]]:
        return [(topic, "de", numbers) for topic in TOPICS]

    facts = describe("device-00", samples(*german(range(60))), info)

    def moved(*groups: tuple[str, str, range]) -> set[str]:
        return set(drift.check(samples(*groups), facts, info, limits, Path("out")))

    assert moved(*german(range(60, 120))) == set()
    italian = [(topic, "it", range(40)) for topic in TOPICS]
    assert moved(*german(range(60)), *italian) == {"language"}
    assert moved(*german(range(30)), ("net", "de", range(30, 120))) == {"label"}


def test_chance_alone_is_seldom_drift() -> None:

    rng, shares = np.random.default_rng(0), np.full(10, 0.1)
    counts = rng.multinomial(200, shares, size=2000) / 200
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = np.nansum(counts * np.log(counts / shares), 1)
    assert 0.97 < (moved < by_chance(10, 200)).mean() < 1
