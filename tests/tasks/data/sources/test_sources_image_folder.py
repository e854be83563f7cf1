"""A folder of images as users have it: classes called anything, splits, and what is no image."""

from __future__ import annotations

import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from PIL import Image

from tasks.data import own
from tasks.data.dataset import Wanted
from tasks.data.folders import is_hidden
from tasks.data.images import image_shape
from tasks.data.sources.image_folder import count, find, read
from tasks.run.errors import DataError, SettingsError
from tasks.settings.sources import OwnCount

WANTED = Wanted(4, 1, 0, 0.25)


def put(folder: Path, count: int = 2, first: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        Image.new("L", (4, 4), number).save(folder / f"{number:03d}.png")
    return folder


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


# classes called anything

names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1)
names = names.map(lambda name: unicodedata.normalize("NFC", name))
names = names.filter(lambda name: not is_hidden(name) and len(name.encode()) < 200)


@pytest.mark.parametrize("layout", ["", "train"])
@given(st.sets(names, min_size=2, max_size=6), st.booleans())
@example({"train", "test", "val", "devices"}, False)
@example({"train", "bus"}, False)
@example({"train", "Train"}, True)
@example({"été", "夏", "train"}, True)
def test_classes_may_be_called_anything(
    layout: str, tmp_path_factory: pytest.TempPathFactory, classes: set[str], decomposed: bool
) -> None:
    root = tmp_path_factory.mktemp("any")
    try:
        for name in classes:
            spelt = unicodedata.normalize("NFD" if decomposed else "NFC", name)
            assume(len(spelt.encode()) < 200)
            touch(root / layout / spelt / "a.png", root / layout / spelt / "b.png")
            if layout:
                touch(root / "test" / name / "c.png")
        found = find(root)
        assert set(found.train) == classes
        assert {len(files) for files in found.train.values()} == {2}
        assert (found.test is None) == (not layout)
    finally:
        shutil.rmtree(root)


def test_names_are_splits_where_folders_lie_in_them_and_classes_where_images_do(
    tmp_path: Path,
) -> None:
    for name in ("train", "test", "val", "devices"):
        put(tmp_path / "flat" / name)
        put(tmp_path / "below/train" / name)
        put(tmp_path / "below/test" / name, 1)
    put(tmp_path / "below/devices/device-00/devices")
    for layout in ("flat", "below"):
        data = read(tmp_path / layout, WANTED)
        assert data.classes == ("devices", "test", "train", "val")
        assert len(data.test_labels) == 4
    ids = {"device-00": 0}
    assert own.load(tmp_path / "flat", ids, data.classes, 4, 1)[0] == {}
    brought, _ = own.load(tmp_path / "below", ids, data.classes, 4, 1)
    assert brought[0].labels.tolist() == [0, 0]
    assert own.count(tmp_path / "below", ids, data.classes) == {
        0: OwnCount(2, frozenset({"devices"}))
    }
    assert own.count(tmp_path / "flat", ids, data.classes) == {}


@pytest.mark.parametrize("name", ["train", "test", "val", "devices"])
def test_what_may_be_a_class_or_a_split_is_asked_for(tmp_path: Path, name: str) -> None:
    put(tmp_path / "a")
    put(tmp_path / "b")
    put(tmp_path / name / "a")
    put(tmp_path / name)
    with pytest.raises(DataError, match=rf"{name}: a class, or a folder of classes\?"):
        find(tmp_path)
    shutil.move(tmp_path, tmp_path.with_name("classes"))  # as the message says
    (tmp_path / "train").parent.mkdir()
    shutil.move(tmp_path.with_name("classes"), tmp_path / "train")
    assert set(find(tmp_path).train) == {"a", "b", name}


def test_two_spellings_of_one_name_are_named(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        put(tmp_path / unicodedata.normalize(form, "été"))
    with pytest.raises(DataError, match="two folders of this name"):
        find(tmp_path)


# splits


@pytest.mark.parametrize("tested", [True, False])
def test_val_is_more_to_learn_from(tmp_path: Path, tested: bool) -> None:
    for k, name in enumerate("ab"):
        put(tmp_path / "train" / name, 6, 100 * k)
    put(tmp_path / "val/b", 4, 50)  # not every class needs some
    if tested:
        put(tmp_path / "test/a", 1, 60)
        put(tmp_path / "test/b", 1, 61)
    data, counts = read(tmp_path, WANTED), count(tmp_path, WANTED)
    expected = ([6, 10], [1, 1]) if tested else ([4, 8], [2, 2])
    assert (np.bincount(data.train_labels).tolist(), np.bincount(data.test_labels).tolist()) == (
        expected
    )
    assert (list(counts.train), list(counts.test)) == expected
    assert {50, 51, 52, 53} <= set(np.concatenate([data.train_samples, data.test_samples]).flat)


def test_what_lies_beside_splits_is_not_lost_in_silence(tmp_path: Path) -> None:
    for split in ("train", "test"):
        put(tmp_path / split / "a")
        put(tmp_path / split / "b")
    touch(tmp_path / "notes/readme.txt")
    assert set(find(tmp_path).train) == {"a", "b"}
    put(tmp_path / "unlabelled")
    with pytest.raises(DataError, match="unlabelled: neither train nor test nor val"):
        find(tmp_path)
    shutil.rmtree(tmp_path / "unlabelled")
    put(tmp_path / "val/c")
    with pytest.raises(DataError, match="val/c: a class that"):
        find(tmp_path)


# what is no image, or hidden


def test_nothing_hidden_is_read(tmp_path: Path) -> None:
    for name in "ab":
        put(tmp_path / name / "deeper", 3)
        for hidden in (".hidden", "__MACOSX", "deeper/.cache/more", "@eaDir/x.png"):
            touch(tmp_path / name / hidden / "x.png")
        touch(tmp_path / name / "._000.png", tmp_path / name / "Thumbs.db")
        touch(tmp_path / name / "deeper/.DS_Store")
    touch(tmp_path / ".git/c/x.png", tmp_path / "__MACOSX/a/._000.png")
    found = find(tmp_path)
    assert {name: len(files) for name, files in found.train.items()} == {"a": 3, "b": 3}
    assert found.other == ()
    assert len(read(tmp_path, WANTED).train_labels) == 4


def test_a_link_deep_in_a_class_is_named(tmp_path: Path) -> None:
    put(tmp_path / "a")
    put(tmp_path / "b/deeper")
    (tmp_path / "b/deeper/more").symlink_to(tmp_path / "a")
    with pytest.raises(DataError, match=r"b/deeper/more: a link"):
        find(tmp_path)


def folder_of_100(root: Path) -> Path:
    put(root / "a", 50)
    put(root / "b", 50, 100)
    return root


def test_what_is_skipped_is_counted_and_named(tmp_path: Path) -> None:
    folder_of_100(tmp_path)
    whole = read(tmp_path, WANTED)
    assert whole.skipped.words == ""
    for name in ("a/003.png", "b/111.png"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:30])
    touch(tmp_path / "a/x.heic", tmp_path / "b/y.HEIC", tmp_path / "b/y.txt", tmp_path / "b/z")
    put(tmp_path, 1)
    data = read(tmp_path, WANTED)
    at = tmp_path.as_posix()
    assert data.skipped.damaged == (f"{at}/a/003.png", f"{at}/b/111.png")
    assert data.skipped.words == (
        f"2 damaged images ({at}/a/003.png, {at}/b/111.png) and 5 other files (2 .heic, 1 .png, "
        f"1 .txt: {at}/000.png, {at}/a/x.heic, {at}/b/y.HEIC, ...)"
    )
    kept = {int(image.flat[0]) for image in (*data.train_samples, *data.test_samples)}
    assert kept == {*range(50), *range(100, 150)} - {3, 111}
    assert len(data.train_labels) + len(data.test_labels) == 98
    assert sum(count(tmp_path, WANTED).train + count(tmp_path, WANTED).test) == 100, "by name"


@pytest.mark.parametrize("damaged", [5, 6])
def test_more_than_a_few_per_cent_of_damage_end_the_run(tmp_path: Path, damaged: int) -> None:
    folder_of_100(tmp_path)
    for number in range(damaged):
        (tmp_path / f"a/{number:03d}.png").write_bytes(b"")
    if damaged == 5:
        assert len(read(tmp_path, WANTED).skipped.damaged) == 5
        return
    with pytest.raises(DataError, match=r"000\.png: not.* 6 of 100 images cannot be read, more th"):
        read(tmp_path, WANTED)


def test_a_class_without_a_readable_image_is_named(tmp_path: Path) -> None:
    folder_of_100(tmp_path)
    (put(tmp_path / "c", 1) / "000.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match=r"c/000\.png.*No image of class c can be read"):
        read(tmp_path, WANTED)


def test_a_class_of_another_kind_of_file_says_of_which(tmp_path: Path) -> None:
    put(tmp_path / "a")
    touch(tmp_path / "b/x.heic")
    with pytest.raises(DataError, match=r"b: no images \(of .*\), but 1 other file \(1 \.heic"):
        find(tmp_path)


def test_a_devices_own_files_are_skipped_likewise(tmp_path: Path) -> None:
    mine = tmp_path / "devices/device-03"
    put(mine / "a", 30)
    (mine / "a/004.png").write_bytes(b"torn")
    touch(mine / "a/notes.txt", mine / "a/.hidden/x.png")
    put(mine, 1)
    brought, skipped = own.load(tmp_path, {"device-03": 3}, ["a"], 4, 1)
    assert len(brought[3].labels) == 29
    assert skipped.damaged == ((mine / "a/004.png").as_posix(),)
    assert skipped.other == ((mine / "000.png").as_posix(), (mine / "a/notes.txt").as_posix())
    assert own.count(tmp_path, {"device-03": 3}, ["a"]) == {3: OwnCount(30, frozenset({"a"}))}
    for number in range(9):
        (mine / f"a/{number:03d}.png").write_bytes(b"torn")
    with pytest.raises(DataError, match="9 of 30 images cannot be read"):
        own.load(tmp_path, {"device-03": 3}, ["a"], 4, 1)


def test_new_settings_look_at_the_first_image_that_is_one(tmp_path: Path) -> None:
    touch(tmp_path / "0.png")
    Image.new("I;16", (9, 7)).save(tmp_path / "1.png")
    assert image_shape(sorted(tmp_path.iterdir())) == (7, 1)
    Image.new("RGBA", (9, 7)).save(tmp_path / "1.png")
    assert image_shape(sorted(tmp_path.iterdir())) == (7, 3)
    with pytest.raises(SettingsError, match=r"0\.png: not a readable image"):
        image_shape([tmp_path / "0.png"])


# contexts

BY_CONTEXT = replace(WANTED, context_folders=True)


def test_a_folder_a_context(tmp_path: Path) -> None:
    put(tmp_path / "day/cat", 8)
    put(tmp_path / "day/dog", 4, first=50)
    put(tmp_path / "night/train/cat", 3, first=100)
    put(tmp_path / "night/train/owl", 5, first=120)
    put(tmp_path / "night/test/cat", 1, first=140)
    put(tmp_path / "night/test/owl", 2, first=150)
    put(tmp_path / "devices/device-00/owl", 2, first=200)
    data = read(tmp_path, BY_CONTEXT)
    assert data.classes == ("cat", "dog", "owl")
    assert data.contexts == ("day", "night")
    counts = count(tmp_path, BY_CONTEXT)
    for labels, at, counted in (
        (data.train_labels, data.train_contexts, counts.train),
        (data.test_labels, data.test_contexts, counts.test),
    ):
        assert at is not None
        assert tuple(np.bincount(at * 3 + labels, minlength=6)) == counted
    assert counts.train == (6, 3, 0, 3, 0, 5)
    assert (counts.contexts, counts.names) == (data.contexts, data.classes)
    shades = data.train_samples[data.train_contexts == 1].max((1, 2, 3))
    assert (shades >= 100).all()
    assert own.load(tmp_path, {"device-00": 0}, data.classes, 4, 1)[0][0].labels.tolist() == [2, 2]


def test_a_context_is_no_split_and_holds_classes(tmp_path: Path) -> None:
    put(tmp_path / "train/cat")
    put(tmp_path / "train/dog")
    with pytest.raises(DataError, match="a context is never called so"):
        read(tmp_path, BY_CONTEXT)
    put(tmp_path / "flat/cat")
    put(tmp_path / "flat/dog")
    with pytest.raises(DataError, match="no folder of a context"):
        read(tmp_path / "flat", BY_CONTEXT)
