"""Images that devices bring themselves."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.data import own
from tasks.data.dataset import Owned
from tasks.data.own import as_source, own_rows
from tasks.data.plan import DevicePlan, Plan
from tasks.run.errors import DataError
from tests.tiny import bring

DEVICE = DevicePlan(1, "device-01", "north", 0)
PLAN = Plan("C2", 0.5, 10, 10, 10, 100, 0.6, 0.2, 0.2, 0.4, 4, 10)


def test_a_folder_of_an_unknown_device_or_class_is_named(pinned: Path, tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(pinned, root)
    bring(root, "device-77", "3", "3", 1)
    with pytest.raises(DataError, match=r"device-77: the fleet has no such device"):
        own.load(root / "data", {"device-01": 1}, list("0123456789"), 8, 1)
    shutil.rmtree(root / "data/devices")
    bring(root, "device-01", "3", "three", 1)
    with pytest.raises(DataError, match=r"three: no class of that name"):
        own.load(root / "data", {"device-01": 1}, list("0123456789"), 8, 1)


def test_texts_of_a_device_are_a_line_each(tmp_path: Path) -> None:
    place = tmp_path / "devices/device-01"
    (place / "games").mkdir(parents=True)
    (place / "games/chess.txt").write_text("Schach\n\n  Dame und Brett \r\n", "utf-8")
    (place / "games/notes.md").write_text("none of it")
    (place / "net").mkdir()
    (place / "net/mail.txt").write_text("\ufeffPost", "utf-8")
    brought, skipped = own.load_texts(tmp_path, {"device-01": 1}, ("net", "games"))
    assert brought[1].samples.tolist() == ["Schach", "Dame und Brett", "Post"]
    assert brought[1].labels.tolist() == [1, 1, 0]
    assert brought[1].files[1] == f"{place}/games/chess.txt, line 3"
    assert "notes.md" in skipped.words
    rows = own_rows(
        as_source("own01", brought[1], set()), DEVICE, PLAN, pd.DataFrame({"label": [0]})
    )
    assert sorted(pd.concat(rows)["label"]) == [0, 1, 1]
    (place / "net/mail.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DataError, match=r"mail\.txt: not a text file in UTF-8"):
        own.load_texts(tmp_path, {"device-01": 1}, ("net", "games"))
    (place / "net/mail.txt").unlink()
    with pytest.raises(DataError, match=r"net: no texts \(of \.txt\)"):
        own.load_texts(tmp_path, {"device-01": 1}, ("net", "games"))
    with pytest.raises(DataError, match="the fleet has no such device"):
        own.load_texts(tmp_path, {"device-02": 2}, ("net", "games"))


def test_own_images_never_change_the_split_of_those_before() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 1, 4, 4), dtype=np.uint8)
    plan, device = PLAN, DevicePlan(1, "device-01", "north", 0)
    dealt = pd.DataFrame({"label": [0]})

    def split_of(count: int) -> dict[str, str]:
        source = as_source("own01", Owned(images[:count], np.zeros(count, np.int64), ()), set())
        rows = pd.concat(own_rows(source, device, plan, dealt))
        return dict(zip(rows.sha256, rows.split, strict=True))

    few, many = split_of(30), split_of(60)
    assert few.items() <= many.items()
    assert len(many) == 60
    assert set(many.values()) == {"train", "val", "test"}
    known = as_source("own01", Owned(images, np.zeros(60, np.int64), ()), set(few))
    assert len(known.usable) == 30


def test_a_class_of_which_nothing_is_left_to_train_on_is_named() -> None:
    images = np.arange(5 * 16, dtype=np.uint8).reshape(5, 1, 4, 4)
    told = np.array([0, 0, 1, 2, 2])  # of class 1 there is a test image alone
    owned = Owned(images, np.array([0, 0, 0, 0, 1]), (), told)
    device = DevicePlan(1, "device-01", "edge", 0)
    with pytest.raises(DataError, match="device-01: no image of class number 1 is left to train"):
        own_rows(as_source("own01", owned, set()), device, PLAN, pd.DataFrame({"label": []}))


def test_a_picture_of_two_devices_is_named_with_both_files(pinned: Path, tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(pinned / "data", root / "data")
    ids = {"device-01": 1, "device-02": 2}
    bring(root, "device-01", "3", "3", 3)
    bring(root, "device-02", "4", "4", 3)
    brought, _ = own.load(root / "data", ids, list("0123456789"), 8, 1)
    assert sorted(own.sources_of(brought, set())) == [1, 2]
    first = next((root / "data/devices/device-01/3").iterdir())
    shutil.copy(first, root / "data/devices/device-02/4/again.png")
    brought, _ = own.load(root / "data", ids, list("0123456789"), 8, 1)
    words = rf"{first.name} and .*device-02/4/again\.png are the same picture, and of two devices"
    with pytest.raises(DataError, match=words):
        own.sources_of(brought, set())
    known = own.sources_of({1: brought[1]}, set())[1].sha256
    assert len(own.sources_of(brought, set(known))[2].usable) == 3, "a public picture is nobody's"
