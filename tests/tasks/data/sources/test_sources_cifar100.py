"""CIFAR-100: read as published or not at all, and fetched from a server that may stumble."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR100

from tasks.data import download, sources
from tasks.data.dataset import Wanted
from tasks.run.errors import DataError
from tests.cifar import publish, write_cifar

WANTED = Wanted(image_size=32, channels=3, seed=0, test_fraction=0.25)


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write_cifar(tmp_path / "origin/below")
    publish(monkeypatch, folder)
    return folder


def test_from_an_origin(tmp_path: Path, origin: Path) -> None:
    sources.fetch("cifar100", tmp_path / "data", origin=tmp_path / "origin")
    data = sources.load("cifar100", tmp_path / "data", WANTED)
    raw = pickle.loads((origin / "train").read_bytes())["data"]
    np.testing.assert_array_equal(data.train_samples, raw.reshape(-1, 3, 32, 32))
    assert data.test_labels.tolist() == [0, 1, 2]
    assert data.test_labels.dtype == np.int64
    assert data.classes[3] == "class 3"


def test_another_file_below_the_origin_is_not_taken(tmp_path: Path, origin: Path) -> None:
    (origin / "test").write_bytes(b"another")
    with pytest.raises(DataError, match=r"Tried .*below.*test: damaged.*data\.origin"):
        sources.fetch("cifar100", tmp_path / "data", origin=tmp_path / "origin")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["train", "test", "meta"])
@pytest.mark.parametrize("damage", ["truncated", "garbage", "other"])
def test_a_damaged_file_is_named(origin: Path, name: str, damage: str) -> None:
    path = origin / name
    content = path.read_bytes()
    path.write_bytes(
        {"truncated": content[:-20], "garbage": b"\xff" * 40, "other": pickle.dumps([1])}[damage]
    )
    with pytest.raises(DataError, match=rf"{name}: damaged"):
        sources.load("cifar100", origin.parent, WANTED)
    path.unlink()
    with pytest.raises(DataError, match=f"{name}: missing"):
        sources.load("cifar100", origin.parent, WANTED)


def test_a_pickle_that_runs_code_is_not_opened(tmp_path: Path, origin: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "was-run"),)

    (origin / "train").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DataError, match="md5"):
        sources.load("cifar100", origin.parent, WANTED)
    assert not (tmp_path / "was-run").exists()


@pytest.fixture
def stumbling(
    tmp_path: Path, origin: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[bytes | None]]:
    """A server that answers with these in turn (None: with an error), then with the archive."""
    packed = shutil.make_archive(str(tmp_path / "x"), "gztar", origin.parent, origin.name)
    archive, answers = Path(packed).read_bytes(), list[bytes | None]()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = answers.pop(0) if answers else archive
            self.send_response(503 if content is None else 200)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(CIFAR100, "url", f"http://127.0.0.1:{server.server_port}/cifar.tar.gz")
    monkeypatch.setattr(CIFAR100, "tgz_md5", hashlib.md5(archive).hexdigest())
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)
    yield answers
    server.shutdown()
    server.server_close()


def test_an_archive_is_asked_for_again(
    tmp_path: Path, origin: Path, stumbling: list[bytes | None]
) -> None:
    stumbling += [None, b"half an archive"]
    sources.fetch("cifar100", tmp_path / "data")
    for file in origin.iterdir():
        fetched = tmp_path / "data/cifar-100-python" / file.name
        assert fetched.read_bytes() == file.read_bytes()


def test_a_download_that_fails_says_what_was_tried_and_what_to_do(
    tmp_path: Path, stumbling: list[bytes | None]
) -> None:
    stumbling += [None] * (1 + download.RETRIES)
    with pytest.raises(DataError, match=r"the archive: 503.*data\.origin.*with a network"):
        sources.fetch("cifar100", tmp_path / "data")
    assert not (tmp_path / "data").exists()
