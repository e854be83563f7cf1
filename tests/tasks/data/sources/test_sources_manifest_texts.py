"""A file that lists the user's texts, and what it must not say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.data import sources
from tasks.data.dataset import Wanted, content_hashes
from tasks.data.listed import read_listed
from tasks.data.own import sources_of
from tasks.data.sources.manifest import count, images, read
from tasks.run.errors import DataError
from tests.texts import TOPICS, write_texts

WANTED = Wanted(0, 0, 0, 0.25, kind="text")
ROWS = [
    {"text": f"{word} {number}", "label": label, "device": device}
    for device, first in (("", 0), ("3", 10), ("7", 20))
    for label, word in (("cat", "miaow"), ("dog", "woof"))
    for number in range(first, first + (8 if not device else 3))
]


def write(folder: Path, rows: pd.DataFrame | list[dict[str, str]]) -> None:
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)


def test_texts_are_read_as_they_stand_there(tmp_path: Path) -> None:
    listed = write_texts(tmp_path)
    data = sources.load("manifest", tmp_path, WANTED)
    assert data.classes == tuple(TOPICS)
    assert data.contexts == ("de", "en", "it")
    public = listed[listed["device"].isna()]
    read_again = np.concatenate([data.train_samples, data.test_samples])
    assert sorted(read_again) == sorted(public["text"])
    assert np.bincount(data.test_labels).tolist() == [15] * 4
    assert data.brought is not None
    assert data.public_contexts == (1,)
    for device, owned in data.brought.items():
        mine = listed[listed["device"] == f"device-{device:02d}"]
        assert sorted(owned.samples) == sorted(mine["text"])
        assert [data.contexts[owned.context or 0]] == mine["context"].unique().tolist()
    assert (data.train_parallel, data.pivot) == (None, None)


@pytest.mark.parametrize("name", ["manifest.csv", "manifest.parquet"])
def test_the_order_of_the_rows_means_nothing(tmp_path: Path, name: str) -> None:
    listed = write_texts(tmp_path)
    found = []
    for seed in (0, 1):
        shuffled = listed.sample(frac=1, random_state=seed)
        write(tmp_path, shuffled)
        shuffled.to_parquet(tmp_path / "manifest.parquet", index=False)
        found.append(read(tmp_path, replace(WANTED, manifest=name)))
    assert (found[0].train_samples == found[1].train_samples).all()
    assert (found[0].test_samples == found[1].test_samples).all()


def test_letters_count_and_not_how_they_are_spelt_or_spaced(tmp_path: Path) -> None:
    odd = ['"Töne,\n und  Bilder "', '"To\u0308ne, und Bilder"', "a\tb", "\U0001f600"]
    lines = [f"{text},{label}" for text in odd for label in ("x", "y")]
    (tmp_path / "manifest.csv").write_text("\n".join(["text,label", *lines]), encoding="utf-8-sig")
    data = read(tmp_path, WANTED)
    every = {*data.train_samples, *data.test_samples}
    assert every == {"Töne, und Bilder", "a b", "\U0001f600"}


def test_texts_are_counted_as_they_are_dealt(tmp_path: Path) -> None:
    """One that is there again is one, the test split's; one that is public is no device's."""
    more = [
        {"text": "miaow 1", "label": "cat", "device": ""},
        {"text": "miaow  11", "label": "cat", "device": "3"},
        {"text": "woof 2", "label": "dog", "device": "3"},
        {"text": "woof 21 ", "label": "dog", "device": "7"},
    ]
    write(tmp_path, [*ROWS, *more])
    counts, data = count(tmp_path, WANTED), read(tmp_path, WANTED)
    assert sum(counts.train + counts.test) == 16
    distinct = {*content_hashes(data.train_samples), *content_hashes(data.test_samples)}
    assert len(distinct) == 16
    assert counts.devices is not None
    assert {device: of.samples for device, of in counts.devices.items()} == {3: 6, 7: 6}
    usable = sources_of(data.brought or {}, distinct)
    assert {device: len(of.usable) for device, of in usable.items()} == {3: 6, 7: 6}


def test_told_splits_of_texts_are_counted(tmp_path: Path) -> None:
    rows = [{**row, "split": "train"} for row in ROWS]
    for at in (0, 8, 16, 22):
        rows[at]["split"] = "test"
    rows[17]["split"] = "val"
    write(tmp_path, rows)
    counts = count(tmp_path, WANTED)
    assert (counts.train, counts.test) == ((7, 7), (1, 1))
    assert counts.devices is not None
    of = counts.devices[3]
    assert (of.samples, of.classes, of.val, of.tested) == (6, 2, 1, 1)


def test_two_devices_with_one_text_are_named(tmp_path: Path) -> None:
    write(tmp_path, [*ROWS, {"text": "miaow 10", "label": "cat", "device": "7"}])
    with pytest.raises(DataError, match=r"manifest\.csv, line 18 and .*line 30 are the same text"):
        count(tmp_path, WANTED)


BAD: dict[str, tuple[str, str, str]] = {
    "an empty text": ("miaow 1,", ",", "line 3: no text: a cell is empty"),
    "spaces alone": ("miaow 1,", '" \n\u00a0",', "line 4: text .* nothing in it can be seen"),
    "what cannot be seen": ("miaow 1,", "\u200b,", "line 3: text .* nothing in it can be seen"),
    "a control character": ("miaow 1,", "mi\x07aow,", r"line 3: text 'mi\\x07aow' holds a control"),
    "several": ("miaow", "mi\x07aow", "lines 2, 3, 4 and 11 more: text"),
    "a path too": ("text,label,device", "text,path,device", "columns path and text: .* keep one"),
    "neither": ("text,label", "txt,label", "unknown column 'txt'; there are: path, text"),
    "no label": ("label", "context", "no column label"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_named_with_its_rows(tmp_path: Path, name: str) -> None:
    before, after, said = BAD[name]
    write(tmp_path, ROWS)
    text = (tmp_path / "manifest.csv").read_text()
    assert before in text
    (tmp_path / "manifest.csv").write_text(text.replace(before, after))
    for reader in (count, read):
        with pytest.raises(DataError, match=said) as caught:
            reader(tmp_path, WANTED)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith(f"{tmp_path / 'manifest.csv'}")


def test_what_settings_do_not_expect_is_refused(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    for reader in (count, read):
        with pytest.raises(DataError, match=r"it lists texts: name an encoder \(data.encoder\)"):
            reader(tmp_path, replace(WANTED, kind="image"))
    assert list(images(tmp_path, WANTED)) == []
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").touch()
    write(tmp_path, [{"path": "a.png", "label": "a"}, {"path": "b.png", "label": "b"}])
    with pytest.raises(DataError, match=r"it lists images .*data.encoder is of texts"):
        count(tmp_path, WANTED)


def test_the_encoder_is_no_file_beside_the_samples(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    for place in ("encoder/config.json", "more/notes.txt"):
        (tmp_path / place).parent.mkdir()
        (tmp_path / place).write_text("{}")
    assert read_listed(tmp_path, "manifest.csv").other == (tmp_path / "more/notes.txt",)
