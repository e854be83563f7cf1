"""The sizes that init sets for a folder of images are sizes by which it can be divided."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from tasks.data.images import partition_of
from tasks.data.partition import partition
from tasks.data.plan import NOT_DIVIDED, DevicePlan, Plan
from tasks.data.rows import Source
from tasks.run.errors import SettingsError
from tasks.settings.fields import read_yaml
from tasks.settings.sources import Counts
from tasks.setup.defaults import SHIPPED

SETTINGS = read_yaml(SHIPPED / "settings.yaml")
PLAN = {name: value for name, value in SETTINGS["partition"].items() if name not in NOT_DIVIDED}


def counts_of(train: list[int], test: list[int]) -> Counts:
    return Counts(tuple(train), tuple(test), tuple(str(label) for label in range(len(train))))


def source(split: str, sizes: list[int]) -> Source:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    names = np.array([f"{split}{i}" for i in range(len(labels))])
    return Source(split, labels, names, np.arange(len(labels)))


def fleet_of(count: int) -> list[DevicePlan]:
    return [DevicePlan(i, f"device-{i:02d}", f"edge-{i // 4}", i % 4) for i in range(count)]


sizes = st.lists(st.integers(80, 250), min_size=4, max_size=12)


@given(sizes, st.integers(2, 8), st.integers(1, 4), st.integers(0, 1000))
def test_every_device_gets_enough_of_each_of_its_classes(
    train: list[int], few: int, devices: int, seed: int
) -> None:
    test = [size // few for size in train]
    try:
        found = partition_of(counts_of(train, test), fleet_of(devices), devices + 1, SETTINGS, seed)
    except SettingsError:
        reject()
    if found["slots"] is None:
        reject()
    plan = Plan(**{**PLAN, **found}, classes=len(train))
    fleet = fleet_of(devices)
    manifest = partition(source("train", train), source("test", test), fleet, plan, seed)
    own = manifest[manifest["tier"] == "device"]
    counts = own.groupby(["owner", "split", "label"]).size().unstack("split")
    classes = max(2, round(0.5 * len(train)))
    expected = int(plan.samples_per_device * plan.train_fraction / classes)  # see partitioning
    assert len(counts) == devices * classes
    assert counts["train"].min() >= min(5, expected)
    assert len(own) >= 0.98 * devices * plan.samples_per_device  # next to nothing was missing
    assert counts[["val", "test"]].min().min() >= 1


def test_sixty_classes_of_few_images_are_divided_among_six_devices() -> None:
    counts = np.random.default_rng(0).integers(24, 41, 60).tolist()
    fleet = fleet_of(6)
    test = [round(0.2 * n) for n in counts]
    train = [n - t for n, t in zip(counts, test, strict=True)]
    found = partition_of(counts_of(train, test), fleet, 8, SETTINGS)
    assert found["slots"] is None
    plan = Plan(**{**PLAN, **found}, classes=60)
    manifest = partition(source("train", train), source("test", test), fleet, plan, 0)
    public = manifest[(manifest["tier"] == "cloud") & (manifest["split"] == "train")]
    assert public["label"].nunique() == 60
    own = manifest[manifest["tier"] == "device"]
    per_class = own.groupby(["owner", "split", "label"]).size().unstack("split", fill_value=0)
    assert (per_class.groupby("owner").size() == 30).all()
    assert per_class["train"].min() >= 1
    assert (own.groupby(["owner", "split"]).size() >= 10).all()
    assert (manifest[manifest["tier"] == "edge"].groupby("shared_by").size() >= 5).all()


def test_too_few_images_of_one_class_are_refused_with_how_many_would_do() -> None:
    def of(rarest: int) -> dict[str, int | None]:
        return partition_of(counts_of([500, 500, rarest, 500], [9] * 4), fleet_of(4), 5, SETTINGS)

    with pytest.raises(SettingsError, match="has 3 distinct images to learn from") as caught:
        of(3)
    [would_do] = re.findall(r"(\d+) would do", str(caught.value))
    assert of(int(would_do))["slots"] is None
    with pytest.raises(SettingsError):
        of(int(would_do) - 1)
