"""Debian's package descriptions: from lists as the archive has them to texts that are pinned."""

from __future__ import annotations

import lzma
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.data import debian, sources
from tasks.data.dataset import Dataset, Wanted
from tasks.data.sources import package_descriptions
from tasks.data.sources.package_descriptions import CLASSES, LANGUAGES
from tasks.run.errors import DataError
from tests.debian_lists import ABOUT, write_lists

WANTED = Wanted(image_size=0, channels=0, seed=0, test_fraction=0.3)
NAME = "package-descriptions"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("texts")
    sources.fetch(NAME, root / "data", origin=write_lists(root / "lists"))
    return root / "data"


@pytest.fixture
def no_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise DataError("no network")

    monkeypatch.setattr(debian, "update", refused)


@pytest.fixture(scope="module")
def data(folder: Path) -> Dataset:
    return sources.load(NAME, folder, WANTED)


def test_languages_are_contexts_and_sections_classes(data: Dataset) -> None:
    assert (data.classes, data.contexts) == (CLASSES, LANGUAGES)
    assert data.pivot is not None
    assert LANGUAGES[data.pivot] == "en"
    labels = np.concatenate([data.train_labels, data.test_labels])
    contexts = np.concatenate([data.train_contexts, data.test_contexts])
    of_each = Counter(zip(contexts.tolist(), labels.tolist(), strict=True))
    expected = {
        (at, label): 8 if language == "en" else 6
        for at, language in enumerate(LANGUAGES)
        for label in range(len(CLASSES))
    }
    assert of_each == expected  # neither section web, nor a translation of an older description


def test_a_text_is_its_title_and_paragraphs(data: Dataset) -> None:
    texts = [*data.train_samples, *data.test_samples]
    assert "libs0: libs (de)\nFür libs = de =\nウィンドウ.\n\nEnde." in texts
    assert all(isinstance(text, str) for text in texts)


def test_the_text_of_the_same_package_in_english_is_parallel(data: Dataset) -> None:
    assert data.train_parallel is not None
    for text, parallel, at in zip(
        data.train_samples, data.train_parallel, data.train_contexts, strict=True
    ):
        assert parallel == text.replace(f"({LANGUAGES[at]})", "(en)").replace(
            f"= {LANGUAGES[at]} =", "= en ="
        )


@pytest.mark.parametrize("seed", range(3))
def test_no_source_is_on_both_sides_in_any_language(folder: Path, seed: int) -> None:
    def names(texts: Any) -> set[str]:
        return {text.partition(":")[0].removesuffix("-doc") for text in texts}

    wanted = Wanted(0, 0, seed, 0.3)
    data = sources.load(NAME, folder, wanted)
    tested = names(data.test_samples)
    assert tested
    assert not tested & names(data.train_samples)
    assert not tested & names(data.train_parallel)
    counts = sources.count(NAME, folder, wanted)
    assert counts is not None
    cells = data.train_contexts * len(CLASSES) + data.train_labels
    assert counts.train == tuple(np.bincount(cells, minlength=len(counts.train)))
    cells = data.test_contexts * len(CLASSES) + data.test_labels
    assert counts.test == tuple(np.bincount(cells, minlength=len(counts.test)))


def test_the_split_is_by_seed_and_a_package_more_moves_no_other(
    folder: Path, tmp_path: Path
) -> None:
    sources.fetch(NAME, tmp_path / "data", origin=write_lists(tmp_path / "lists", sources=6))

    def tested(where: Path, seed: int) -> set[str]:
        return set(sources.load(NAME, where, Wanted(0, 0, seed, 0.3)).test_samples)

    few, more = tested(folder, 0), tested(tmp_path / "data", 0)
    assert few < more
    everything = set(sources.load(NAME, folder, Wanted(0, 0, 0, 1.0)).test_samples)
    assert few == more & everything
    assert tested(folder, 0) != tested(folder, 1)


def test_what_is_there_is_never_replaced_and_the_lists_are_not_kept(
    folder: Path, tmp_path: Path
) -> None:
    lists, there = write_lists(tmp_path / "lists"), tmp_path / "data"
    there.mkdir()
    (there / "de.parquet").write_bytes(b"mine")
    sources.fetch(NAME, there, origin=lists)
    assert (there / "de.parquet").read_bytes() == b"mine"
    names = {path.name for path in there.iterdir()}
    assert names == {f"{language}.parquet" for language in LANGUAGES}
    assert (there / "ja.parquet").read_bytes() == (folder / "ja.parquet").read_bytes()
    with pytest.raises(DataError, match=r"de\.parquet: damaged .*Delete it and: acme data fetch"):
        sources.load(NAME, there, WANTED)
    (there / "de.parquet").unlink()
    with pytest.raises(DataError, match=r"de\.parquet: No such file. Try: acme data fetch"):
        sources.count(NAME, there, WANTED)


@pytest.mark.usefixtures("no_archive")
def test_each_place_is_named_with_its_reason(tmp_path: Path) -> None:
    def refused(words: str) -> None:
        with pytest.raises(DataError, match=words) as found:
            sources.fetch(NAME, tmp_path / "data", origin=tmp_path / "lists")
        assert "\n" not in str(found.value)
        assert "this machine's package archives: no network" in str(found.value)
        assert not (tmp_path / "data").exists()

    refused("lists: no such folder; ")
    (tmp_path / "lists").mkdir()
    refused(r"lists: no list Packages \(plain, \.gz, \.xz or \.bz2\); ")
    write_lists(tmp_path / "lists", languages=[name for name in LANGUAGES if name != "sk"])
    refused("lists: no list Translation-sk ")


@pytest.mark.usefixtures("no_archive")
@pytest.mark.parametrize("kind", ["cut", "page", "latin"])
def test_a_damaged_list_is_named(tmp_path: Path, kind: str) -> None:
    lists = write_lists(tmp_path / "lists")
    cut = (lists / f"{ABOUT}i18n_Translation-fr.gz").read_bytes()[:200]
    name, payload = {
        "cut": (f"{ABOUT}i18n_Translation-fr.gz", cut),
        "page": (f"{ABOUT}i18n_Translation-de", b"<html>log in first</html>"),
        "latin": (f"{ABOUT}i18n_Translation-ja", b"Package: a\nDescription-ja: \xe4"),
    }[kind]
    (lists / name).write_bytes(payload)
    with pytest.raises(DataError, match=f"{name}: damaged, or no such list"):
        sources.fetch(NAME, tmp_path / "data", origin=lists)


def test_without_apt_or_an_archive_it_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(words: str) -> None:
        with pytest.raises(DataError, match=words):
            sources.fetch(NAME, tmp_path / "data")

    apt = tmp_path / "bin/apt-get"
    apt.parent.mkdir()
    monkeypatch.setenv("PATH", str(apt.parent))
    refused("this machine's package archives: no apt-get here")
    apt.write_text("#!/bin/sh\nprintf 'W: Failed to fetch http://deb: no route\\nW: more\\n' >&2\n")
    apt.chmod(0o755)
    refused("apt-get update: W: Failed to fetch http://deb: no route. ")


def test_apt_is_told_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lists, apt = write_lists(tmp_path / "lists"), tmp_path / "bin/apt-get"
    apt.parent.mkdir()
    apt.write_text(
        f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {tmp_path}/called\n"
        f"for word; do case $word in Dir::State::Lists=*) cp {lists}/* ${{word#*=}};; esac; done\n"
    )
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{apt.parent}:{os.environ['PATH']}")
    # as apt leaves lists: not compressed
    index = lists / f"{ABOUT}binary-amd64_Packages.xz"
    (lists / f"{ABOUT}binary-amd64_Packages").write_bytes(lzma.decompress(index.read_bytes()))
    sources.fetch(NAME, tmp_path / "data")
    called = (tmp_path / "called").read_text()
    assert f"Acquire::Languages={','.join(LANGUAGES)}" in called
    assert "Dir::Cache=" in called
    assert len(list((tmp_path / "data").iterdir())) == len(LANGUAGES)


def test_an_archive_that_has_moved_on_is_told_in_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for name in LANGUAGES:
        rows = package_descriptions.rows_of(folder, name)
        found[name] = len(rows), package_descriptions.content_hash(rows)
    monkeypatch.setattr(package_descriptions, "KNOWN", found)
    assert sources.moved_on(NAME, folder) is None
    monkeypatch.setattr(package_descriptions, "KNOWN", found | {"ja": (7123, "0" * 64)})
    words = sources.moved_on(NAME, folder)
    assert words is not None
    assert words.endswith("Other texts: ja 72 for 7,123")
    assert sources.moved_on("fashion-mnist", folder) is None


def test_the_known_content_is_of_the_real_archive() -> None:
    """The lists that are checked by hand (docs/text.md); a hash is none of an empty table."""
    assert set(package_descriptions.KNOWN) == set(LANGUAGES)
    texts, hashes = zip(*package_descriptions.KNOWN.values(), strict=True)
    assert min(texts) > 3000
    assert {len(content) for content in hashes} == {64}
    assert package_descriptions.content_hash([]) not in hashes
