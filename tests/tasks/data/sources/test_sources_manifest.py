"""A file that lists the user's images: what each is, and whose; and what it must not say."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.data import sources
from tasks.data.dataset import Dataset, Wanted, content_hashes
from tasks.data.listed import KNOWN, read_listed
from tasks.data.sources.manifest import count, images, read
from tasks.run.errors import DataError
from tasks.settings.sources import OwnCount
from tests.pages import ROOT

WANTED = Wanted(4, 1, 0, 0.25)
BOTH = frozenset({"cat", "dog"})
Cells = Mapping[str, object]


def put(folder: Path, shades: Sequence[int], name: str = "{}") -> list[str]:
    """An image of each shade; gives their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for shade in shades:
        Image.new("L", (4, 4), shade).save(folder / f"{name.format(shade)}.png")
    return [f"{folder.name}/{name.format(shade)}.png" for shade in shades]


def write(folder: Path, rows: pd.DataFrame | Sequence[Cells]) -> None:
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)


def shades(pixels: np.ndarray) -> list[int]:
    return sorted(pixels[:, 0, 0, 0].tolist())


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Cats and dogs of a studio, which are public, and of two sites, which are of devices."""
    rows: list[Cells] = []
    for label, first in (("cat", 0), ("dog", 100)):
        studio = put(tmp_path / "pool", range(first, first + 8))
        rows += [{"path": p, "label": label, "context": "studio", "device": ""} for p in studio]
        for device, site in ((3, "north"), (7, "south")):
            own = put(tmp_path / site, range(first + 10 * device, first + 10 * device + 3))
            rows += [
                {"path": p, "label": label, "context": site, "device": f"device-{device:02d}"}
                for p in own
            ]
    write(tmp_path, rows)
    return tmp_path


def test_rows_of_a_device_are_its_own_and_all_others_public(listed: Path) -> None:
    data = read(listed, WANTED)
    assert (data.classes, data.contexts) == (("cat", "dog"), ("north", "south", "studio"))
    assert shades(np.concatenate([data.train_samples, data.test_samples])) == [
        *range(8),
        *range(100, 108),
    ]
    assert np.bincount(data.test_labels).tolist() == [2, 2]
    assert data.brought is not None
    assert sorted(data.brought) == [3, 7]
    for device, owned in data.brought.items():
        assert shades(owned.samples) == [
            first + 10 * device + at for first in (0, 100) for at in range(3)
        ]
        assert owned.labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert owned.splits is None
    assert {device: owned.context for device, owned in data.brought.items()} == {3: 0, 7: 1}
    assert data.public_contexts == (2,)
    assert data.train_contexts is not None
    assert set(data.train_contexts.tolist()) == {2}


def test_rows_are_counted_as_they_are_read(listed: Path) -> None:
    counts, data = count(listed, WANTED), read(listed, WANTED)
    assert counts_of(data) == (counts.train, counts.test)
    assert (counts.names, counts.contexts) == (data.classes, data.contexts)
    assert counts.public_contexts == data.public_contexts
    assert counts.devices == {3: OwnCount(6, BOTH, context=0), 7: OwnCount(6, BOTH, context=1)}
    assert len(list(images(listed, WANTED))) == 16


def counts_of(data: Dataset) -> tuple[tuple[int, ...], tuple[int, ...]]:
    cells = len(data.contexts) * len(data.classes)
    found = []
    for labels, at in (
        (data.train_labels, data.train_contexts),
        (data.test_labels, data.test_contexts),
    ):
        of_cell = labels if at is None else at * len(data.classes) + labels
        found.append(tuple(np.bincount(of_cell, minlength=cells).tolist()))
    return found[0], found[1]


@pytest.mark.parametrize("by_context", [False, True])
@pytest.mark.parametrize("split", [False, True])
def test_a_folder_and_a_list_of_it_are_the_same_data(
    tmp_path: Path, by_context: bool, split: bool
) -> None:
    """Whatever the order of the rows."""
    rows: list[dict[str, str]] = []
    for context in ("day", "night") if by_context else (".",):
        for part in ("train", "val", "test") if split else (".",):
            for at, label in enumerate(("cat", "dog")):
                first = 120 * (context == "night") + 50 * at + 20 * ("tv".find(part[0]) + 1)
                folder = tmp_path / context / part / label
                put(folder, range(first, first + 4 + at), "{:03}")
                rows += [
                    {"path": str(path.relative_to(tmp_path)), "label": label}
                    | ({"context": context} if by_context else {})
                    | ({"split": part} if split else {})
                    for path in folder.iterdir()
                ]
    np.random.default_rng(0).shuffle(rows)  # type: ignore[arg-type]
    folders = sources.load("image-folder", tmp_path, replace(WANTED, context_folders=by_context))
    write(tmp_path, rows)
    found = sources.load("manifest", tmp_path, WANTED)
    assert (found.classes, found.contexts) == (folders.classes, folders.contexts)
    for name in ("train_samples", "train_labels", "test_samples", "test_labels"):
        np.testing.assert_array_equal(getattr(found, name), getattr(folders, name))
    for name in ("train_contexts", "test_contexts"):
        np.testing.assert_array_equal(getattr(found, name), getattr(folders, name))
    assert counts_of(found) == (count(tmp_path, WANTED).train, count(tmp_path, WANTED).test)
    assert found.brought == {}


def test_a_devices_splits_are_as_told(listed: Path) -> None:
    frame = pd.read_csv(listed / "manifest.csv", dtype=str)
    frame["split"] = "train"
    frame.loc[(frame.device == "device-03") & frame.path.str.endswith("2.png"), "split"] = "val"
    frame.loc[(frame.device == "device-03") & frame.path.str.endswith("1.png"), "split"] = "test"
    frame.loc[frame.device.isna() & frame.path.str.endswith("7.png"), "split"] = "test"
    write(listed, frame)
    data, counts = read(listed, WANTED), count(listed, WANTED)
    assert shades(data.test_samples) == [7, 107]
    assert data.brought is not None
    assert counts.devices is not None
    splits = data.brought[3].splits
    assert splits is not None
    found = dict(zip(shades(data.brought[3].samples), [0, 2, 1, 0, 2, 1], strict=True))
    for image, split in zip(data.brought[3].samples[:, 0, 0, 0], splits, strict=True):
        assert found[int(image)] == split
    assert counts.devices[3] == OwnCount(6, BOTH, val=2, tested=2, context=0)
    assert counts.devices[7] == OwnCount(6, BOTH, context=1)


def test_cells_are_the_text_that_stands_there(tmp_path: Path) -> None:
    """Numbers too; in CSV as spreadsheets write it, and in parquet."""
    odd = ["01", "1", "NA", "null", "été", "a, b", 'say "cheese"', "夏"]
    rows = []
    for at, label in enumerate(odd):
        paths = put(tmp_path / f"of {at}", (10 * at, 10 * at + 1))
        rows += [{"path": path, "label": label, "context": "007"} for path in paths]
    written = io.StringIO(newline="")
    writer = csv.DictWriter(written, rows[0], lineterminator="\r\n")
    writer.writeheader()
    writer.writerows([{**row, "label": row["label"].replace("é", "e\u0301")} for row in rows])
    (tmp_path / "manifest.csv").write_bytes(b"\xef\xbb\xbf" + written.getvalue().encode())
    pd.DataFrame(rows).astype({"label": "category"}).to_parquet(tmp_path / "manifest.parquet")
    for name in ("manifest.csv", "manifest.parquet"):
        data = read(tmp_path, replace(WANTED, manifest=name))
        assert data.classes == tuple(sorted(odd))
        assert data.contexts == ("007",)
        label = data.train_labels[data.train_samples[:, 0, 0, 0] // 10 == odd.index("NA")]
        assert [data.classes[at] for at in label] == ["NA"]


def test_whole_numbers_of_parquet_are_text(listed: Path) -> None:
    frame = pd.read_csv(listed / "manifest.csv")
    frame["label"] = frame["label"].map({"cat": 1, "dog": 20})
    frame["device"] = frame["device"].str[-2:].astype("Int64")
    frame.to_parquet(listed / "manifest.parquet")
    data = read(listed, replace(WANTED, manifest="manifest.parquet"))
    assert data.classes == ("1", "20")
    assert data.brought is not None
    assert sorted(data.brought) == [3, 7]
    frame.assign(label=0.5).to_parquet(listed / "manifest.parquet")
    with pytest.raises(DataError, match="column label: double; text or whole numbers"):
        read(listed, replace(WANTED, manifest="manifest.parquet"))


def test_what_it_does_not_list_is_told_and_what_is_damaged_too(listed: Path) -> None:
    put(listed / "more", [200])
    (listed / "more/.hidden.png").touch()
    shutil.copytree(listed / "pool", listed / ".cache")
    for at in range(20, 60):
        put(listed / "pool", [at])
    frame = pd.read_csv(listed / "manifest.csv", dtype=str, keep_default_na=False)
    pool = [f"pool/{at}.png" for at in range(20, 60)]
    more = pd.DataFrame({"path": pool, "label": "cat", "context": "studio", "device": ""})
    write(listed, pd.concat([frame, more]))
    (listed / "pool/20.png").write_bytes(b"torn")
    data = read(listed, WANTED)
    assert data.skipped.other == ((listed / "more/200.png").as_posix(),)
    assert count(listed, WANTED).other == data.skipped.other
    assert data.skipped.damaged == ((listed / "pool/20.png").as_posix(),)
    assert len(data.train_labels) + len(data.test_labels) == 16 + 39
    (listed / "north/30.png").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"north/30\.png: not.*1 of 6 images cannot be read"):
        read(listed, WANTED)


BAD: dict[str, tuple[str, str, str]] = {
    "a misspelt column": ("device", "devices", "unknown column 'devices'; there are: path, text"),
    "a capital": ("label", "Label", "unknown column 'Label'"),
    "a space": ("context", " context", "unknown column ' context'"),
    "a semicolon": (",", ";", "columns 'path;label;context;device' are not separated by commas"),
    "a tab": (",", "\t", "are not separated by commas"),
    "no label": ("studio", "", "lines 2, 3, 4 and 13 more: no context: a cell is empty"),
    "a path that leaves": ("pool/1.png", "../pool/1.png", "line 3: path '../pool/1.png': give it"),
    "a path from the root": ("pool/1.png", "/etc/passwd", "line 3: path '/etc/passwd': give it"),
    "a path of Windows": (
        "pool/1.png",
        "pool\\1.png",
        r"line 3: path 'pool\\\\1.png': give it .* /",
    ),
    "a file that is not there": ("pool/1.png", "pool/x.png", "line 3: path 'pool/x.png': no such"),
    "a folder": ("pool/1.png", "pool", "line 3: path 'pool': no such file"),
    "a path twice": ("pool/1.png", "./pool//0.png", "lines 2, 3: path 'pool/0.png' stands there"),
    "a label with a space": (
        "dog",
        "dog ",
        "lines 16, .* label 'dog ' begins or ends",
    ),
    "a label of two lines": ("dog", '"a\nb"', r"label 'a\\nb' holds a line break"),
    "an unknown device": ("device-07", "camera-7", "device 'camera-7': give the id"),
    "a negative device": ("device-07", "-7", "device '-7': give the id"),
    "one class": ("dog", "cat", "1 class to learn from in the public rows"),
    "a row of no columns": ("pool/1.png", "pool/1.png,x", "line 3: more values than columns"),
    "an open quote": ("pool/1.png", '"pool/1.png', r"line \d+: unexpected end of data"),
    "two contexts": (
        "south/70.png,cat,south",
        "south/70.png,cat,north",
        r"lines 13, 14, 15 and 3 more: device-07 has several contexts \(north, south\)",
    ),
    "a label of a device alone": (
        "south/70.png,cat",
        "south/70.png,owl",
        "line 13: label 'owl': no public row to learn it from",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_named_with_its_rows(listed: Path, name: str) -> None:
    """By what counts as by what reads."""
    before, after, said = BAD[name]
    text = (listed / "manifest.csv").read_text()
    assert before in text
    (listed / "manifest.csv").write_text(text.replace(before, after))
    for reader in (count, read, images):
        with pytest.raises(DataError, match=said) as caught:
            reader(listed, WANTED)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith(f"{listed / 'manifest.csv'}")


WHOLE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "no column path"),
    "a head alone": (b"path,label\n", "no row"),
    "a column too few": (b"path\npool/0.png\n", "no column label"),
    "a column twice": (b"path,label,path\n", "line 1: column path stands there more than once"),
    "UTF-16": ("path,label\npool/0.png,été\n".encode("utf-16"), "not a text file in UTF-8"),
    "Latin-1": ("path,label\npool/0.png,été\n".encode("latin-1"), "not a text file in UTF-8"),
    "an unknown split": (b"path,label,split\npool/0.png,a,dev\n", "line 2: split 'dev': choose"),
    "an empty split": (b"path,label,split\npool/0.png,a,\n", "line 2: no split: a cell is empty"),
    "a cell too few": (b"path,label\npool/0.png\n", "line 2: no label: a cell is empty"),
    "no owner": (b"path,label,device\npool/0.png,a,\n", "column device is empty"),
    "no public row": (b"path,label,device\npool/0.png,a,1\n", "each row has a device"),
    "one image of a class": (
        b"path,label\npool/0.png,a\npool/1.png,a\npool/2.png,b\n",
        "class b has no public image of the test split",
    ),
    "a class to test by alone": (
        b"path,label,split\npool/0.png,a,train\npool/1.png,b,val\npool/2.png,a,test\n"
        b"pool/3.png,b,test\npool/4.png,c,test\n",
        "line 6: label 'c': no public row to learn it from",
    ),
    "a class that is not tested": (
        b"path,label,split\npool/0.png,a,train\npool/1.png,b,train\npool/2.png,a,test\n",
        "class b has no public image of the test split",
    ),
    "a class of a context that is not tested": (
        b"path,label,context,split\npool/0.png,a,x,train\npool/1.png,b,x,train\n"
        b"pool/2.png,a,y,test\npool/3.png,b,x,test\n",
        r"class a \(x\) has no public image of the test split",
    ),
    "a device that never trains on a class": (
        b"path,label,device,split\npool/0.png,a,,train\npool/1.png,b,,train\n"
        b"pool/2.png,a,,test\npool/3.png,b,,test\npool/4.png,a,2,train\npool/5.png,b,2,test\n",
        "line 7: device-02 has no train row of label 'b'",
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_lists_nothing_usable_is_refused(listed: Path, name: str) -> None:
    content, said = WHOLE[name]
    (listed / "manifest.csv").write_bytes(content)
    for reader in (count, read):
        with pytest.raises(DataError, match=said) as caught:
            reader(listed, WANTED)
        assert "\n" not in str(caught.value)


def test_no_file_and_no_parquet_are_named(listed: Path) -> None:
    with pytest.raises(DataError, match=r"other\.csv: No such file.*data\.manifest names it"):
        read_listed(listed, "other.csv")
    (listed / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"x\.parquet: not a parquet file that can be read"):
        read_listed(listed, "x.parquet")
    pd.DataFrame({"path": ["a", "b"], "label": [None, "x"]}).to_parquet(listed / "y.parquet")
    with pytest.raises(DataError, match=r"y\.parquet, row 1: no label"):
        read_listed(listed, "y.parquet")
    with pytest.raises(DataError, match="no such folder"):
        sources.fetch("manifest", listed / "nowhere")


@pytest.mark.parametrize("place", ["linked", ".git"])
def test_what_dvc_does_not_pin_is_not_read(listed: Path, place: str) -> None:
    if place == "linked":
        (listed / place).symlink_to(listed / "pool")
    else:
        shutil.copytree(listed / "pool", listed / place)
    text = (listed / "manifest.csv").read_text()
    (listed / "manifest.csv").write_text(text.replace("pool/1.png", f"{place}/1.png"))
    with pytest.raises(DataError, match=rf"line 3: path '{re.escape(place)}/1.png': .* not pinned"):
        count(listed, WANTED)


def test_a_content_twice_of_a_device_is_of_its_test_split(listed: Path) -> None:
    from tasks.data.own import as_source

    frame = pd.read_csv(listed / "manifest.csv", dtype=str, keep_default_na=False)
    frame["split"] = "train"
    frame.loc[frame.path.isin(["pool/7.png", "pool/107.png", "north/32.png"]), "split"] = "test"
    shutil.copy(listed / "north/32.png", listed / "north/30.png")
    write(listed, frame)
    data = read(listed, WANTED)
    assert data.brought is not None
    source = as_source("own03", data.brought[3], set())
    assert source.told is not None
    again = content_hashes(data.brought[3].samples)
    kept = [source.told[at] for at in source.usable if (again == again[at]).sum() > 1]
    assert kept == [2]


def test_the_page_s_example_is_read_and_its_columns_are_all(tmp_path: Path) -> None:
    page = (ROOT / "docs/manifest.md").read_text()
    example, of_texts = re.findall(r"```csv\n(.+?)```", page, re.S)
    (tmp_path / "manifest.csv").write_text(of_texts)
    texts = read(tmp_path, WANTED)
    assert texts.classes == ("mail", "music")
    assert {device: own.samples.tolist() for device, own in (texts.brought or {}).items()} == {
        0: ["Wo ist mein Paket?", "Leiser, bitte."]
    }
    (tmp_path / "manifest.csv").write_text(example)
    for shade, row in enumerate(csv.DictReader(io.StringIO(example))):
        place = tmp_path / row["path"]
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), shade).save(place)
    data = read(tmp_path, WANTED)
    assert data.classes == ("cat", "dog")
    assert [data.contexts[at] for at in data.public_contexts or ()] == ["studio"]
    assert {device: len(own.labels) for device, own in (data.brought or {}).items()} == {0: 2, 1: 1}
    assert tuple(re.findall(r"^\| `(\w+)` \|", page, re.M)) == KNOWN
