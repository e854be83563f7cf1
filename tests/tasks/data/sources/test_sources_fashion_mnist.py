"""Fashion-MNIST's files: verified whatever wraps them, and no place is trusted."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests

from tasks.data.dataset import Wanted
from tasks.data.sources import fashion_mnist
from tasks.run.errors import DataError

WANTED = Wanted(image_size=28, channels=1, seed=0, test_fraction=0.2)
COUNTS = {"train": 6, "t10k": 4}


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def content(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Four tiny files that take the canonical ones' place, and no other place to fetch from."""
    rng = np.random.default_rng(0)
    files = {}
    for split, n in COUNTS.items():
        files[f"{split}-images-idx3-ubyte"] = idx(rng.integers(0, 256, (n, 28, 28)))
        files[f"{split}-labels-idx1-ubyte"] = idx(np.arange(n))
    sums = {name: hashlib.sha256(payload).hexdigest() for name, payload in files.items()}
    monkeypatch.setattr(fashion_mnist, "FILES", sums)
    monkeypatch.setattr(fashion_mnist, "INSTALLED", Path("/nowhere"))
    monkeypatch.setattr(fashion_mnist, "_from_mirrors", refuses("no network"))
    monkeypatch.setattr(fashion_mnist, "_from_debian", refuses("no package"))
    return files


def refuses(words: str):
    def attempt(*_: object) -> Iterator[bytes]:
        raise DataError(words)
        yield b""

    return attempt


def write(folder: Path, content: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, payload in content.items():
        (folder / name).write_bytes(payload)


def test_the_constants_are_the_canonical_ones() -> None:
    begins = {
        "train-images-idx3-ubyte": "c59f468a2f672dc8",
        "train-labels-idx1-ubyte": "bad3541b69d91243",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91e",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663",
    }
    assert {name: digest[:16] for name, digest in fashion_mnist.FILES.items()} == begins
    assert {len(digest) for digest in fashion_mnist.FILES.values()} == {64}


@pytest.mark.parametrize("layout", ["plain", "FashionMNIST/raw", "deep/er"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_origin_in_any_layout_and_wrapping(
    tmp_path: Path, content: dict[str, bytes], layout: str, wrapped: bool
) -> None:
    given = {f"{n}.gz": gzip.compress(c) for n, c in content.items()} if wrapped else content
    write(tmp_path / "origin" / layout, given)
    fashion_mnist.fetch(tmp_path / "data", tmp_path / "origin")
    assert {p.name: p.read_bytes() for p in (tmp_path / "data").iterdir()} == content


def test_a_broken_copy_beside_a_good_one_is_passed(
    tmp_path: Path, content: dict[str, bytes]
) -> None:
    write(tmp_path / "origin/a", {n: c[:-1] for n, c in content.items()})
    write(tmp_path / "origin/b", {f"{n}.gz": gzip.compress(c)[:-9] for n, c in content.items()})
    write(tmp_path / "origin/c", {f"{n}.gz": gzip.compress(c) for n, c in content.items()})
    fashion_mnist.fetch(tmp_path / "data", tmp_path / "origin")
    assert fashion_mnist.read(tmp_path / "data", WANTED).train_labels.tolist() == list(range(6))


def test_the_next_place_gives_what_the_first_lacks(
    tmp_path: Path, content: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next(iter(content))
    write(tmp_path / "origin", {first: content[first]})
    asked: list[str] = []

    def mirror(name: str, scratch: Path) -> Iterator[bytes]:
        asked.append(name)
        yield gzip.compress(content[name])

    monkeypatch.setattr(fashion_mnist, "_from_mirrors", mirror)
    fashion_mnist.fetch(tmp_path / "data", tmp_path / "origin")
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == sorted(content)
    assert first not in asked


def test_every_place_is_named_when_none_answers(tmp_path: Path, content: dict[str, bytes]) -> None:
    write(tmp_path / "origin", {n: b"\x1f\x8bgarbage" for n in content})
    with pytest.raises(DataError) as caught:
        fashion_mnist.fetch(tmp_path / "data", tmp_path / "origin")
    for words in (str(tmp_path / "origin"), "no network", "no package", "data.origin"):
        assert words in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_without_a_network_the_mirror_and_apt_fail_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise requests.ConnectionError("Network is unreachable")

    def no_package(command: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        assert options["timeout"]
        if options["check"]:
            raise subprocess.CalledProcessError(100, command, stderr=b"W: x\nE: no such package")
        return subprocess.CompletedProcess(command, 0, stdout=b"", stderr=b"")

    monkeypatch.setattr(fashion_mnist, "INSTALLED", tmp_path / "nowhere")
    monkeypatch.setattr("requests.get", no_network)
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)
    monkeypatch.setattr(fashion_mnist.subprocess, "run", no_package)
    monkeypatch.setattr(fashion_mnist.shutil, "which", lambda name: name)
    with pytest.raises(DataError, match=r"Network is unreachable.*E: no such package"):
        fashion_mnist.fetch(tmp_path / "data")


@pytest.mark.parametrize(("known", "expected"), [(True, False), (False, True)])
def test_the_list_of_packages_is_updated_only_where_it_lacks_the_package(
    tmp_path: Path,
    content: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    known: bool,
    expected: bool,
) -> None:
    monkeypatch.undo()
    calls: list[str] = []

    def call(command: list[str], where: Path) -> None:
        calls.extend(word for word in command if word in ("update", "download", "-x"))
        if "download" in command:
            (where / "x.deb").touch()
        if "-x" in command:
            write(where / "unpacked/usr", {"a-file": b"payload"})

    monkeypatch.setattr(fashion_mnist, "_known", lambda where: known)
    monkeypatch.setattr(fashion_mnist, "_call", call)
    monkeypatch.setattr(fashion_mnist.shutil, "which", lambda name: name)
    monkeypatch.setattr(fashion_mnist.os, "geteuid", lambda: 0)
    assert list(fashion_mnist._from_debian("a-file", tmp_path)) == [b"payload"]
    assert list(fashion_mnist._from_debian("a-file", tmp_path)) == [b"payload"]  # not again
    assert calls == (["update"] if expected else []) + ["download", "-x"]


def test_what_is_there_is_left_as_it_is(tmp_path: Path, content: dict[str, bytes]) -> None:
    write(tmp_path / "data", content)
    name = next(iter(content))
    (tmp_path / "data" / name).write_bytes(b"tampered")
    fashion_mnist.fetch(tmp_path / "data")
    assert (tmp_path / "data" / name).read_bytes() == b"tampered"


def test_read_gives_images_and_labels(tmp_path: Path, content: dict[str, bytes]) -> None:
    write(tmp_path, content)
    data = fashion_mnist.read(tmp_path, WANTED)
    assert data.train_samples.shape == (6, 1, 28, 28)
    assert data.test_samples.shape == (4, 1, 28, 28)
    assert data.train_samples.dtype == np.uint8
    assert (data.train_labels.dtype, data.test_labels.tolist()) == (np.int64, [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda c: c[:-1], "truncated"),
        (lambda c: c + b"x", "too long"),
        (lambda c: c[:9], "not an idx file"),
        (lambda c: b"", "not an idx file"),
        (lambda c: b"\x00\x00\x0d" + c[3:], "not an idx file"),
        (lambda c: c[:3] + b"\x01" + c[4:], "not an idx file"),
        (lambda c: c[:4] + b"\xff" * 12 + c[16:], "truncated"),
    ],
)
def test_a_damaged_file_is_named(
    tmp_path: Path, content: dict[str, bytes], damage, words: str
) -> None:
    name = "train-images-idx3-ubyte"
    write(tmp_path, content | {name: damage(content[name])})
    with pytest.raises(DataError, match=rf"{name}: .*{words}"):
        fashion_mnist.read(tmp_path, WANTED)


def test_labels_must_match_images_and_classes(tmp_path: Path, content: dict[str, bytes]) -> None:
    name = "train-labels-idx1-ubyte"
    write(tmp_path, content | {name: idx(np.arange(5))})
    with pytest.raises(DataError, match="6 train images but 5 labels"):
        fashion_mnist.read(tmp_path, WANTED)
    write(tmp_path, {name: idx(np.arange(6) + 7)})
    with pytest.raises(DataError, match="beyond the 10 classes"):
        fashion_mnist.read(tmp_path, WANTED)
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=rf"{name}: No such file.*acme data fetch"):
        fashion_mnist.read(tmp_path, WANTED)
