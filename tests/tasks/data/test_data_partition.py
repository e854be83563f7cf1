"""Who owns which sample: the rules of the partition, as laws."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.enough import shortage
from tasks.data.partition import partition
from tasks.data.plan import DevicePlan, Plan, apportion, class_shares
from tasks.data.rows import COLUMNS, Source
from tasks.data.sharing import shared_bounds, shared_count
from tasks.run.errors import DataError, SettingsError

CLASSES = 10
PLAN = Plan("C2", 0.5, 400, 100, 100, 50, 0.6, 0.2, 0.2, 0.4, 8, CLASSES)
LEVELS = ["iid", "C1", "C2", "C3", "dirichlet"]


def source(split: str, n: int) -> Source:
    labels = np.random.default_rng([n, split == "test"]).integers(0, CLASSES, n)
    hashes = np.array([f"{split}{i:d}".encode().hex().rjust(64, "0") for i in range(n)])
    return Source(split, labels, hashes, np.arange(n))


TRAIN, TEST = source("train", 3000), source("test", 900)


def device(i: int, group: int = 0) -> DevicePlan:
    return DevicePlan(i, f"device-{i:02d}", f"edge-{i // 4}", group)


def manifest(devices: list[DevicePlan], plan: Plan = PLAN, seed: int = 0) -> pd.DataFrame:
    return partition(TRAIN, TEST, devices, plan, seed)


def rows_of(frame: pd.DataFrame, who: DevicePlan) -> pd.DataFrame:
    mine = (frame["owner"] == who.name) | (frame["shared_by"] == who.name)
    return frame[mine].reset_index(drop=True)


@pytest.fixture(scope="module")
def fleet() -> list[DevicePlan]:
    return [device(i, group=i % 3) for i in range(8)]


@pytest.mark.parametrize("level", LEVELS)
def test_every_sample_has_one_owner_and_the_right_source(fleet, level: str) -> None:
    frame = manifest(fleet, replace(PLAN, heterogeneity=level))
    assert list(frame.columns) == COLUMNS
    own = frame[frame["tier"] != "edge"]
    assert not own["sample_id"].duplicated().any()
    assert (own["sample_id"].str.startswith("test-") == (own["split"] == "test")).all()
    for one in (TRAIN, TEST):
        rows = own[own["sample_id"].str.startswith(one.split)]
        position = rows["sample_id"].str.rpartition("-")[2].astype(int).to_numpy()
        assert (one.labels[position] == rows["label"]).all()
        assert (one.sha256[position] == rows["sha256"]).all()
    cloud = frame[frame["tier"] == "cloud"]["split"].value_counts().to_dict()
    assert cloud == {"train": 400, "val": 100, "test": 100}


@pytest.mark.parametrize("level", LEVELS)
def test_an_edge_has_what_its_devices_train_on(fleet, level: str) -> None:
    frame = manifest(fleet, replace(PLAN, heterogeneity=level))
    for who in fleet:
        mine = frame[(frame["owner"] == who.name) & (frame["split"] == "train")]
        shared = frame[frame["shared_by"] == who.name]
        assert set(shared["owner"]) == {who.edge}
        assert set(shared["split"]) == {"train", "val"}
        assert set(shared["sample_id"]) <= set(mine["sample_id"])
        assert not shared["sample_id"].duplicated().any()
        assert 0.1 <= len(shared) / len(mine) <= 0.2
        for label, n in mine["label"].value_counts().items():  # stratified
            exact = n * len(shared) / len(mine)
            assert abs((shared["label"] == label).sum() - exact) < 1
    assert frame.loc[frame["tier"] != "edge", "shared_by"].isna().all()


@settings(max_examples=25)
@given(
    ids=st.sets(st.integers(0, 7), min_size=1, max_size=5),
    other=st.integers(0, 7),
    level=st.sampled_from(LEVELS),
    seed=st.integers(0, 99),
)
def test_a_device_more_or_less_changes_no_other(
    ids: set[int], other: int, level: str, seed: int
) -> None:
    plan = replace(PLAN, heterogeneity=level)
    few = [device(i, i % 2) for i in sorted(ids - {other})]
    many = [device(i, i % 2) for i in sorted(ids | {other}, reverse=True)]
    a, b = manifest(few, plan, seed), manifest(many, plan, seed)
    for who in few:
        pd.testing.assert_frame_equal(rows_of(a, who), rows_of(b, who))
    cloud_a, cloud_b = (f[f["tier"] == "cloud"].reset_index(drop=True) for f in (a, b))
    pd.testing.assert_frame_equal(cloud_a, cloud_b)


def test_same_seed_same_manifest_and_another_seed_another(fleet) -> None:
    pd.testing.assert_frame_equal(manifest(fleet), manifest(list(reversed(fleet))))
    assert not manifest(fleet).equals(manifest(fleet, seed=1))


@pytest.mark.parametrize(("level", "count"), [("iid", 10), ("C1", 8), ("C2", 5), ("C3", 3)])
def test_groups_share_their_classes(fleet, level: str, count: int) -> None:
    frame = manifest(fleet, replace(PLAN, heterogeneity=level))
    own = frame[frame["tier"] == "device"]
    labels = own.groupby("owner")["label"].agg(lambda column: frozenset(column)).to_dict()
    by_group: dict[int, set[frozenset]] = {}
    for who in fleet:
        by_group.setdefault(who.group, set()).add(labels[who.name])
    assert {len(found) for found in by_group.values()} == {1}  # edges 0 and 1 alike
    assert {len(next(iter(found))) for found in by_group.values()} == {count}
    if level != "iid":
        subsets = [
            frozenset(
                np.flatnonzero(class_shares(device(0, g), replace(PLAN, heterogeneity=level), 0))
            )
            for g in range(12)
        ]
        assert len(set(subsets)) > 1


def test_at_least_two_classes_of_few() -> None:
    for classes in (2, 5):
        plan = replace(PLAN, heterogeneity="C3", classes=classes)
        assert (class_shares(device(0), plan, 0) > 0).sum() == 2


def test_dirichlet_differs_by_device_and_alpha() -> None:
    def shares(i: int, alpha: float) -> np.ndarray:
        plan = replace(PLAN, heterogeneity="dirichlet", dirichlet_alpha=alpha)
        return class_shares(device(i), plan, 0)

    assert not np.allclose(shares(0, 0.5), shares(1, 0.5))
    spread = [np.mean([shares(i, alpha).std() for i in range(30)]) for alpha in (0.1, 1, 100)]
    assert spread[0] > spread[1] > spread[2]


@pytest.mark.parametrize("samples", [44, 50, 75, 100])
@pytest.mark.parametrize("level", LEVELS)
def test_sizes_and_test_classes_follow_the_plan(fleet, level: str, samples: int) -> None:
    """At most the samples asked for, and the same class shares in test as in train."""
    frame = manifest(fleet, replace(PLAN, heterogeneity=level, samples_per_device=samples))
    own = frame[frame["tier"] == "device"]
    assert own.groupby("owner").size().max() <= samples
    if level == "iid" and samples <= 50:  # stock for all: exactly what was asked for
        assert set(own.groupby("owner").size()) == {samples}
    counts = own.groupby(["owner", "label", "split"]).size().unstack(fill_value=0)
    assert (abs(counts["test"] - counts["train"] / 3) < 2).all()
    assert (abs(counts["val"] - counts["train"] / 3) < 2).all()


def test_a_part_that_holds_less_gives_what_it_has() -> None:
    plan = replace(PLAN, heterogeneity="C3", samples_per_device=2000)
    frame = manifest([device(0)], plan)
    own = frame[frame["tier"] == "device"]
    assert 0 < len(own) < 2000
    position = own.loc[own["split"] == "test", "sample_id"].str[5:].astype(int)
    assert len(position) == len(set(position))


def test_train_shrinks_with_test_where_test_is_what_runs_out() -> None:
    """Slot 0 has one of two wanted test samples of class 0: half its train and val, no other's."""
    plan = replace(PLAN, heterogeneity="iid", samples_per_device=100, public_test=0)
    keep = np.flatnonzero(TEST.labels == 0)[: plan.slots]
    usable = np.sort(np.concatenate([np.flatnonzero(TEST.labels != 0), keep]))
    frame = partition(TRAIN, replace(TEST, usable=usable), [device(0)], plan, 0)
    own = frame[frame["tier"] == "device"]
    counts = own.groupby(["label", "split"]).size().unstack(fill_value=0)[["train", "val", "test"]]
    assert counts.loc[0].tolist() == [3, 1, 1]
    assert (counts.loc[1:] == [6, 2, 2]).all(axis=None)


def test_contents_that_appeared_before_are_never_given_out(fleet) -> None:
    usable = np.arange(0, 3000, 2)
    frame = partition(replace(TRAIN, usable=usable), TEST, fleet, PLAN, 0)
    train = frame[frame["sample_id"].str.startswith("train")]
    assert (train["sample_id"].str[6:].astype(int) % 2 == 0).all()


def test_impossible_settings_are_named(fleet) -> None:
    with pytest.raises(SettingsError, match=r"device-08: id 8 needs partition.slots > 8"):
        manifest([device(8)])
    with pytest.raises(SettingsError, match="id -1 is negative"):
        manifest([device(-1)])
    with pytest.raises(SettingsError, match="device id 3 appears more than once"):
        manifest([device(3), replace(device(3), name="other")])
    with pytest.raises(SettingsError, match="device name device-03 appears more than once"):
        manifest([device(3), replace(device(4), name="device-03")])
    with pytest.raises(SettingsError, match="unknown level 'C9'"):
        manifest(fleet, replace(PLAN, heterogeneity="C9"))
    with pytest.raises(DataError, match=r"public set takes 900 .*partition.public_"):
        manifest(fleet, replace(PLAN, public_test=900))


@given(
    weights=st.lists(st.floats(0, 1), min_size=1, max_size=12).filter(lambda w: sum(w) > 1e-3),
    total=st.integers(0, 500),
)
def test_apportion_adds_up_and_stays_within_one(weights: list[float], total: int) -> None:
    shares = np.array(weights)
    counts = apportion(shares, total)
    assert counts.sum() == total
    assert (np.abs(counts - shares / shares.sum() * total) < 1 + 1e-6).all()


@given(total=st.integers(0, 400), fraction=st.floats(0.1, 0.2))
def test_a_share_is_within_the_range_where_it_can_be(total: int, fraction: float) -> None:
    count = shared_count(fraction, total)
    whole = [n for n in range(total + 1) if 0.1 - 1e-9 <= n / max(total, 1) <= 0.2 + 1e-9]
    if whole and total:
        assert count in whole
    assert abs(count - fraction * total) <= 1
    assert shared_bounds(total)[0] <= count <= shared_bounds(total)[1]


FEW = replace(PLAN, slots=None, samples_per_device=200)


@given(
    count=st.integers(10, 40),
    ids=st.sets(st.integers(0, 30), min_size=1, max_size=6),
    level=st.sampled_from(["iid", "C1", "C2", "C3"]),
)
@settings(max_examples=25)
def test_without_slots_the_fleet_gets_all_that_the_public_sets_leave(
    count: int, ids: set[int], level: str
) -> None:
    """Of each class that it has, a device trains on one sample or more; no split is empty."""
    train, test = (balanced(split, n) for split, n in (("train", count), ("test", 8)))
    plan = replace(FEW, heterogeneity=level, public_train=20, public_val=5, public_test=5)
    fleet = [device(i, i % 3) for i in sorted(ids)]
    counts = ([count] * CLASSES, [8] * CLASSES)
    if shortage(fleet, plan, 0, [str(i) for i in range(CLASSES)], counts):
        assert count < 2 * len(fleet) + 4
        return
    own = partition(train, test, fleet, plan, 0).query("tier == 'device'")
    for who in fleet:
        mine = own[own["owner"] == who.name]
        classes = set(np.flatnonzero(class_shares(who, plan, 0)))
        assert set(mine.loc[mine["split"] == "train", "label"]) == classes
        assert set(mine["split"]) == {"train", "val", "test"}
    assert not own["sample_id"].duplicated().any()


def balanced(split: str, of_class: int) -> Source:
    labels = np.repeat(np.arange(CLASSES), of_class)
    hashes = np.array([f"{split}{i:d}".encode().hex().rjust(64, "0") for i in range(len(labels))])
    return Source(split, labels, hashes, np.arange(len(labels)))


def test_the_public_sets_leave_what_the_devices_need() -> None:
    train, test = balanced("train", 12), balanced("test", 5)
    plan = replace(FEW, heterogeneity="iid", public_train=30, public_val=10, public_test=4)
    fleet = [device(i) for i in range(4)]
    own = partition(train, test, fleet, plan, 0).query("tier == 'device'")
    kept = own[own["split"] != "test"].groupby(["owner", "label"]).size()
    assert len(kept) == 4 * CLASSES  # 40 of 120 are public, drawn at random, and none is missing
    assert kept.min() >= 2
    with pytest.raises(DataError, match=r"devices need 80; the public set takes 41 .* to 40"):
        partition(train, test, fleet, replace(plan, public_val=11), 0)


def test_devices_may_live_on_what_they_bring() -> None:
    plan = replace(PLAN, samples_per_device=0)
    brought = Source("own00", np.array([3, 3, 7]), balanced("own00", 1).sha256[:3], np.arange(3))
    with pytest.raises(DataError, match=r"device-00 has 3 .* images .* 4 in devices/device-00"):
        partition(TRAIN, TEST, [device(0)], plan, 0, {"device-00": brought})
    with pytest.raises(DataError, match="device-00 has 0 distinct images"):
        partition(TRAIN, TEST, [device(0)], plan, 0)
    for seed in range(20):
        draw = np.random.default_rng(seed)
        hashes = np.array([draw.bytes(32).hex() for _ in range(4)])
        few = replace(brought, labels=np.array([3, 3, 7, 3]), sha256=hashes, usable=np.arange(4))
        frame = partition(TRAIN, TEST, [device(0)], plan, 0, {"device-00": few})
        own = frame[frame["tier"] == "device"]
        assert set(own["split"]) == {"train", "val", "test"}
        assert set(own.loc[own["split"] == "train", "label"]) == {3, 7}
        assert not len(frame[frame["tier"] == "edge"])


@pytest.mark.parametrize(
    ("plan", "counts", "words"),
    [
        (FEW, ([12] * 9 + [3], [9] * 10), "class 9 has 3 distinct images to learn from"),
        (
            FEW,
            ([60] * 8 + [1, 2], [9] * 10),
            "class 8 has 1 distinct image to learn",
        ),
        (FEW, ([60] * 8 + [1, 2], [9] * 10), "(too few also in 1 other class). "),
        (PLAN, ([300] * 9 + [9], [90] * 10), "17 would do: two for each of 8"),
        (PLAN, ([300] * 9 + [9], [90] * 10), "partition.slots: null"),
        (PLAN, ([30] * 10, [90] * 10), "take 500 of 300 images of the train split"),
        (PLAN, ([300] * 10, [17] * 10), "public sets take 100 of 170 images of the test split"),
        (replace(PLAN, public_test=1), ([300] * 10, [1] * 10), "take 1 of 10 images of the test"),
        (replace(FEW, public_test=0), ([300] * 10, [0] * 10), "no image of the test split"),
        (replace(PLAN, samples_per_device=0), ([50] * 10, [10] * 10), None),
        (PLAN, ([300] * 10, [90] * 10), None),
    ],
)
def test_what_is_missing_is_said_with_how_many_would_do(
    plan: Plan, counts: tuple[list[int], list[int]], words: str | None
) -> None:
    fleet = [device(i, i % 3) for i in range(6)]
    said = shortage(fleet, plan, 0, [str(i) for i in range(CLASSES)], counts)
    assert said is None if words is None else words in str(said)
    assert not re.search(r"\b(1 \w+es|to 0)\b", str(said))
