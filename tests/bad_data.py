"""Data of one's own that cannot be, in the way of :mod:`tests.bad_inputs`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.bad_inputs import Bad, Before, after, given


def own(said: str, before: Before, **settings: Any) -> Bad:
    """A folder of one's own images that `acme check` refuses."""
    source = {"data__source": "image-folder", "data__folder": "mine"}
    return Bad("check", tuple(said.split("|")), source | settings, before=before)


def images(**counts: int) -> Before:
    """Class folders with so many (empty) files, below mine/."""

    def write() -> None:
        for name, count in counts.items():
            place = Path("mine", *name.split("__"))
            place.mkdir(parents=True)
            for number in range(count):
                (place / f"{number}.png").touch()

    return write


def listed(said: str, text: str, **settings: Any) -> Bad:
    """A manifest of twenty (empty) images that `acme check` refuses."""

    def write() -> None:
        images(a=10, b=10)()
        Path("mine/manifest.csv").write_text(text)

    source = {"data__source": "manifest", "data__folder": "mine"}
    return Bad("check", tuple(said.split("|")), source | settings, before=write)


DATA: dict[str, Bad] = {
    "an empty folder": own("mine: 0 class folders; at least 2", lambda: Path("mine").mkdir()),
    "one class": own("1 class folder; at least 2", images(a=3)),
    "a class without images": own("mine/b: no images (of .bmp", images(a=3, b=0)),
    "few images": own("public_train + public_val: 600 of 14", images(a=10, b=10)),
    "a test class that is unknown": own(
        "mine/test/c: a class that mine/train does not have",
        images(train__a=3, train__b=3, test__a=3, test__c=3),
    ),
    "a test split alone": own("mine/train has none", images(test__a=3, test__b=3)),
    "a folder beside train": own(
        "mine/more: neither train nor test", images(train__a=3, train__b=3, more__a=3)
    ),
    "a class or a split": own(
        "mine/train: a class, or a folder of classes?|mine/train/train/",
        images(train=3, train__a=3, b=3),
    ),
    "images beside splits": own(
        "mine/val/c: a class that mine/train does not have",
        images(train__a=3, train__b=3, test__a=1, test__b=1, val__c=1),
    ),
    "a link to a class": own(
        "mine/b: a link|put the folder itself there",
        lambda: (images(a=3)(), Path("mine/b").symlink_to("a")),
    ),
    "a class of three": own(
        "partition.public_train + public_val: 12 of 12",
        images(a=9, b=9),
        partition__public_train=10,
        partition__public_val=2,
        partition__public_test=2,
    ),
    "a folder of no device": own(
        "mine/devices/device77: the fleet has no such device",
        images(a=30, b=30, devices__device77__a=3),
        partition__public_train=10,
        partition__public_val=2,
        partition__public_test=2,
        partition__samples_per_device=10,
        partition__slots=None,
    ),
    "no pin": given("data verify", "data.dvc: No such file|acme data pin"),
    "a pin that is none": given(
        "data verify", "data.dvc: not a DVC pin|git checkout", {"data.dvc": "x"}
    ),
    "a pin that is no YAML": given("data verify", "data.dvc: not a DVC pin", {"data.dvc": "a: ["}),
    "data that are not there": given(
        "data verify",
        "data: missing|acme data fetch",
        {"data.dvc": "outs: [{md5: a.dir, path: data}]"},
    ),
    "nothing to pin": given("data pin", "data: no files to pin|acme data fetch"),
    "a name that is not UTF-8": after(
        lambda: (Path("data").mkdir(), Path("data", os.fsdecode(b"\xff.png")).touch()),
        "data pin",
        "data: cannot pin '\\udcff.png'|rename it",
    ),
    "a name of two lines": after(
        lambda: (Path("data").mkdir(), Path("data/a\nb.png").touch()),
        "data pin",
        "data: cannot pin 'a\\nb.png'|rename it",
    ),
}

ROWS = [f"{label}/{number}.png,{label}" for label in "ab" for number in range(10)]
SIZES = {
    f"partition__public_{split}": count for split, count in (("train", 3), ("val", 1), ("test", 1))
}
MINE = {**SIZES, "partition__samples_per_device": 0, "partition__slots": None}


def of_devices(*devices: str, head: str = "path,label,device") -> str:
    """The rows, of which some are devices', in turn."""
    whose = [*devices, *[""] * (len(ROWS) - len(devices))]
    return "\n".join([head, *(f"{row},{device}" for row, device in zip(ROWS, whose, strict=True))])


LISTS: dict[str, Bad] = {
    "no manifest": own(
        "mine/manifest.csv: No such file|docs/manifest.md", images(a=3), data__source="manifest"
    ),
    "another manifest": listed(
        "mine/l.parquet: No such file|data.manifest", "", data__manifest="l.parquet"
    ),
    "an empty manifest": listed("mine/manifest.csv: no column path", ""),
    "a manifest of one's own form": listed(
        "mine/manifest.csv: unknown column 'file'; there are: path, text, label, context, device, "
        "split",
        "file,class\na/0.png,a\n",
    ),
    "a misspelt device": listed(
        "mine/manifest.csv: unknown column 'devcie'; there are",
        of_devices("0", head="path,label,devcie"),
    ),
    "a manifest of semicolons": listed("not separated by commas", "path;label\na/0.png;a\n"),
    "a device's name": listed("line 2: device 'board': give the id", of_devices("board")),
    "few listed images": listed(
        "public_train + public_val: 600 of 14", "path,label\n" + "\n".join(ROWS)
    ),
    "a device that the fleet has not": listed(
        "mine/manifest.csv: device-09 is not in the fleet|mend its rows",
        of_devices("0", "1", "2", "3", "9"),
        **MINE,
    ),
    "a device without rows": listed(
        "fleet: device-03 has no row in mine/manifest.csv|add some",
        of_devices("0", "1", "2"),
        **MINE,
    ),
    "rows of devices, and samples dealt": listed(
        "samples_per_device: 100, but mine/manifest.csv says which|give 0",
        of_devices("0", "1", "2", "3"),
        **SIZES,
    ),
    "too few rows of a device": listed(
        "device-00 has 1 distinct image|3 in|or as its rows of a manifest, would do",
        of_devices("0", "1", "2", "3"),
        **MINE,
    ),
    "no rows of devices that are dealt nothing": listed(
        "device-00 has 0 distinct images|3 in", "path,label\n" + "\n".join(ROWS), **MINE
    ),
    "two manifests": after(
        lambda: (
            images(a=3)(),
            Path("mine/manifest.csv").touch(),
            Path("mine/manifest.parquet").touch(),
        ),
        "init --force --yes --data mine",
        "mine: manifest.csv and manifest.parquet: keep one of them",
    ),
    "devices beside those of a manifest": after(
        lambda: (images(a=10, b=10)(), Path("mine/manifest.csv").write_text(of_devices("0", "0"))),
        "init --force --yes --data mine --devices 2",
        "--devices: the data name theirs, which are 1",
    ),
}
