"""The sizes that init sets for a folder of images are sizes by which it can be divided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from tasks.data.images import LEAST, partition_of
from tasks.data.partition import DevicePlan, Plan, Source, partition
from tasks.run.errors import SettingsError
from tasks.settings.fields import read_yaml
from tasks.setup.defaults import SHIPPED

SETTINGS = read_yaml(SHIPPED / "settings.yaml")


def folder(sizes: list[int]) -> dict[str, list[Path]]:
    return {str(label): [Path()] * size for label, size in enumerate(sizes)}


def source(split: str, sizes: list[int]) -> Source:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    names = np.array([f"{split}{i}" for i in range(len(labels))])
    return Source(split, labels, names, np.arange(len(labels)))


sizes = st.lists(st.integers(80, 250), min_size=4, max_size=12)


@given(sizes, st.integers(2, 8), st.integers(1, 4), st.integers(0, 1000))
def test_every_device_gets_enough_of_each_of_its_classes(
    train: list[int], few: int, devices: int, seed: int
) -> None:
    test = [size // few for size in train]
    images = {"train": folder(train), "test": folder(test)}
    try:
        found = partition_of(images, devices + 1, SETTINGS)
    except SettingsError:
        reject()
    plan = Plan(**{**SETTINGS["partition"], **found})
    fleet = [DevicePlan(i, f"device-{i}", "edge", i) for i in range(devices)]
    manifest = partition(source("train", train), source("test", test), fleet, plan, seed)
    own = manifest[manifest["tier"] == "device"]
    counts = own.groupby(["owner", "split", "label"]).size().unstack("split")
    classes = max(2, round(0.5 * len(train)))
    expected = int(plan.samples_per_device * plan.train_fraction / classes)  # see partitioning
    assert len(counts) == devices * classes
    assert counts["train"].min() >= min(5, expected)
    assert len(own) >= 0.98 * devices * plan.samples_per_device  # next to nothing was missing
    assert counts[["val", "test"]].min().min() >= 1


def test_too_few_images_of_one_class_are_refused() -> None:
    with pytest.raises(SettingsError, match=f"of which a device needs {LEAST} in all"):
        partition_of({"train": folder([500, 500, 12])}, 5, SETTINGS)
