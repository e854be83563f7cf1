"""Every source gives the same kind of data set, or says which file is wrong."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.data import pictures, sources
from tasks.data.dataset import Wanted, content_hashes, first_occurrences
from tasks.run.errors import DataError, SettingsError
from tasks.settings.sources import SOURCES

WANTED = Wanted(image_size=8, channels=3, seed=0, test_fraction=0.25)


def picture(path: Path, seed: int, size: tuple[int, int] = (12, 10), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def classes_in(root: Path, names: str = "ab", n: int = 8, first: int = 0) -> Path:
    for k, name in enumerate(names):
        for i in range(n):
            picture(root / name / f"{i}.png", first + 100 * k + i)
    return root


# image folders


def test_train_and_test_folders(tmp_path: Path) -> None:
    classes_in(tmp_path / "train", n=3)
    classes_in(tmp_path / "test", n=2, first=50)
    data = sources.load("image-folder", tmp_path, WANTED)
    assert data.train_samples.shape == (6, 3, 8, 8)
    assert data.test_labels.tolist() == [0, 0, 1, 1]
    assert data.classes == ("a", "b")
    with Image.open(tmp_path / "test/b/1.png") as image:
        expected = np.asarray(image.resize((8, 8), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(data.test_samples[3], expected.transpose(2, 0, 1))


def test_a_seeded_split_per_class_whatever_the_file_names(tmp_path: Path) -> None:
    one = classes_in(tmp_path / "one")
    for name in "ab":
        for i in range(8):
            target = tmp_path / "two" / name / f"{9 - i}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((one / name / f"{i}.png").read_bytes())

    def tests(folder: str, seed: int) -> set[str]:
        data = sources.load("image-folder", tmp_path / folder, replace(WANTED, seed=seed))
        assert np.bincount(data.test_labels).tolist() == [2, 2]
        assert np.bincount(data.train_labels).tolist() == [6, 6]
        hashes = set(content_hashes(data.test_samples).tolist())
        assert not hashes & set(content_hashes(data.train_samples).tolist())
        return hashes

    assert tests("one", 0) == tests("two", 0)
    assert len({frozenset(tests("one", seed)) for seed in range(5)}) > 1


def test_train_alone_is_split(tmp_path: Path) -> None:
    classes_in(tmp_path / "train")
    data = sources.load("image-folder", tmp_path, WANTED)
    assert (len(data.train_labels), len(data.test_labels)) == (12, 4)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("bus", "train"):
        picture(tmp_path / name / "0.png", 0)
        picture(tmp_path / name / "1.png", len(name))
    assert sources.load("image-folder", tmp_path, WANTED).classes == ("bus", "train")


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour(tmp_path: Path, channels: int) -> None:
    for i in range(3):
        picture(tmp_path / "grey" / f"{i}.png", i, mode="L")
        picture(tmp_path / "colour" / f"{i}.jpg", 9 + i)
    data = sources.load("image-folder", tmp_path, replace(WANTED, channels=channels))
    assert data.train_samples.shape[1:] == (channels, 8, 8)
    assert data.train_samples.dtype == np.uint8
    grey = data.train_samples[data.train_labels == data.classes.index("grey")]
    assert (grey == grey[:, :1]).all()


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_a_corrupt_image_is_named(tmp_path: Path, damage: str) -> None:
    path = classes_in(tmp_path) / "b/3.png"
    content = path.read_bytes()
    path.write_bytes(
        {"truncated": content[: len(content) // 2], "text": b"hi", "empty": b""}[damage]
    )
    with pytest.raises(DataError, match=r"b/3\.png: not a readable image"):
        sources.load("image-folder", tmp_path, WANTED)


def test_what_an_image_folder_must_have(tmp_path: Path) -> None:
    def refused(folder: str, words: str) -> None:
        with pytest.raises(DataError, match=words):
            sources.load("image-folder", tmp_path / folder, WANTED)

    refused("nowhere", "0 class folders")
    classes_in(tmp_path / "one", "a")
    refused("one", "1 class folder; at least 2")
    classes_in(tmp_path / "empty")
    (tmp_path / "empty/c").mkdir()
    (tmp_path / "empty/c/readme.txt").touch()
    refused("empty", "empty/c: no images")
    classes_in(tmp_path / "single", n=1)
    refused("single", "single/a: 1 image")
    classes_in(tmp_path / "extra/train")
    classes_in(tmp_path / "extra/test", "abc")
    refused("extra", "test/c: a class that")
    classes_in(tmp_path / "lacks/train")
    classes_in(tmp_path / "lacks/test", "a")
    refused("lacks", "test/b: no images")
    classes_in(tmp_path / "val/train")
    classes_in(tmp_path / "val/more")
    refused("val", "val/more: neither train nor test")
    classes_in(tmp_path / "linked", "ab")
    (tmp_path / "linked/c").symlink_to(tmp_path / "linked/a")
    refused("linked", "linked/c: a link")


def test_fetch_of_an_image_folder_touches_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no class folders.*acme data pin"):
        sources.fetch("image-folder", tmp_path)
    classes_in(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    sources.fetch("image-folder", tmp_path, origin=tmp_path / "ignored")
    assert sorted(tmp_path.rglob("*")) == before


def test_unknown_source(tmp_path: Path) -> None:
    words = r"unknown data\.source 'mnist': choose one of image-folder, fashion-mnist, cifar100"
    with pytest.raises(SettingsError, match=words):
        sources.fetch("mnist", tmp_path)
    with pytest.raises(SettingsError, match=words):
        sources.load("mnist", tmp_path, WANTED)


# what all share


def test_every_source_is_a_file_with_two_functions() -> None:
    files = {path.stem for path in Path(sources.__file__).parent.glob("[a-z]*.py")}
    assert files == {name.replace("-", "_") for name in SOURCES}
    for name in files:
        module = import_module(f"tasks.data.sources.{name}")
        assert [*signature(module.fetch).parameters] == ["folder", "origin"]
        assert [*signature(module.read).parameters] == ["folder", "wanted"]


@pytest.mark.parametrize(("have", "want"), [(1, 3), (3, 1), (1, 1), (3, 3)])
def test_fitted_converts_and_resizes(have: int, want: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, have, 10, 10)).astype(np.uint8)
    fitted = pictures.fitted(images, 6, want)
    assert fitted.shape == (2, want, 6, 6)
    if have == 1:
        expected = Image.fromarray(images[1, 0]).resize((6, 6), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(fitted[1, -1], np.asarray(expected))
    assert pictures.fitted(images, 10, have) is images


def test_first_occurrences_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    test, train = (np.array([f"{h:02d}" for h in rng.integers(0, 30, 40)]) for _ in range(2))
    seen: set[str] = set()
    expected: list[list[int]] = []
    for hashes in (test, train):
        expected.append([])
        for i, value in enumerate(hashes):
            if value not in seen:
                seen.add(value)
                expected[-1].append(i)
    found = first_occurrences(test, train)
    assert [list(index) for index in found] == expected
    assert 0 < len(found[1]) < 40


def test_content_hashes_are_of_the_pixels() -> None:
    images = np.arange(2 * 3 * 2 * 2, dtype=np.uint8).reshape(2, 3, 2, 2)
    hashes = content_hashes(images)
    assert hashes[0] != hashes[1]
    assert hashes[0] == content_hashes(images[:1].copy())[0]
    transposed = images.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)  # other memory order
    assert content_hashes(transposed).tolist() == hashes.tolist()
