"""Contexts: the cloud's samples have public ones, a device's its own, and nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.contexts import Contexts, contexts_of
from tasks.data.enough import shortage
from tasks.data.partition import partition
from tasks.data.plan import DevicePlan, Plan, class_shares, needs
from tasks.data.rows import Source
from tasks.run.errors import SettingsError
from tasks.settings.params import Settings, merged
from tests.tiny import tiny_params

NAMES = ("day", "night", "rain")
CLASSES = 6
PLAN = Plan("C2", 0.5, 200, 50, 60, 40, 0.6, 0.2, 0.2, 0.4, 6, CLASSES)
LEVELS = ["iid", "C1", "C2", "C3", "dirichlet"]


def source(split: str, n: int, contexts: int = 3) -> Source:
    stream = np.random.default_rng([n, split == "test"])
    hashes = np.array([f"{split}{i:d}".encode().hex().rjust(64, "0") for i in range(n)])
    labels, at = stream.integers(0, CLASSES, n), stream.integers(0, contexts, n)
    return Source(split, labels, hashes, np.arange(n), at if contexts > 1 else None)


TRAIN, TEST = source("train", 3600), source("test", 1800)


def device(number: int, context: int) -> DevicePlan:
    return DevicePlan(number, f"device-{number:02d}", "edge", number % 2, context)


def mine(frame: pd.DataFrame, who: DevicePlan) -> pd.DataFrame:
    of_device = (frame["owner"] == who.name) | (frame["shared_by"] == who.name)
    return frame[of_device].reset_index(drop=True)


def of_source(frame: pd.DataFrame, sources: Sequence[Source]) -> list[str]:
    """What the source says of the context of each row."""
    known = {one.split: one.contexts for one in sources}
    parts = (sample.split("-") for sample in frame["sample_id"])
    return [NAMES[known[split][int(at)]] for split, at in parts]


contexts = st.builds(
    lambda public: Contexts(NAMES, tuple(sorted(public))),
    st.sets(st.integers(0, 2), min_size=1),
)


@settings(max_examples=25)
@given(
    found=contexts,
    level=st.sampled_from(LEVELS),
    slots=st.sampled_from([6, None]),
    theirs=st.lists(st.integers(0, 2), min_size=1, max_size=5),
    seed=st.integers(0, 99),
)
def test_who_has_which(
    found: Contexts, level: str, slots: int | None, theirs: list[int], seed: int
) -> None:
    plan = replace(PLAN, heterogeneity=level, slots=slots, contexts=found)
    fleet = [device(i, found.private[at % len(found.private)]) for i, at in enumerate(theirs)]
    frame = partition(TRAIN, TEST, fleet, plan, seed)
    assert frame["context"].tolist() == of_source(frame, (TRAIN, TEST))
    public = {NAMES[at] for at in found.public}
    assert set(frame.loc[frame["owner"] == "cloud", "context"]) <= public
    for who in fleet:
        assert set(mine(frame, who)["context"]) == {NAMES[who.context]}
    counts = frame[frame["owner"] == "cloud"]["split"].value_counts().to_dict()
    assert counts == {"train": 200, "val": 50, "test": 60}
    own = frame[frame["tier"] != "edge"]
    assert not own["sample_id"].duplicated().any()


@settings(max_examples=15)
@given(
    ids=st.sets(st.integers(0, 5), min_size=1, max_size=4),
    other=st.integers(0, 5),
    context=st.integers(0, 2),
    seed=st.integers(0, 99),
)
def test_a_device_more_or_less_of_any_context_changes_no_other(
    ids: set[int], other: int, context: int, seed: int
) -> None:
    plan = replace(PLAN, contexts=Contexts(NAMES, (0, 1, 2)))
    few = [device(i, i % 3) for i in sorted(ids - {other})]
    many = sorted([*few, device(other, context)], key=lambda d: d.id)
    a, b = (partition(TRAIN, TEST, fleet, plan, seed) for fleet in (few, many))
    for who in few:
        pd.testing.assert_frame_equal(mine(a, who), mine(b, who))


def test_made_contexts_change_nothing_but_how_samples_look() -> None:
    train, test = source("train", 3600, 1), source("test", 1800, 1)
    fleet = [device(i, 1 + i % 2) for i in range(4)]
    made = replace(PLAN, contexts=Contexts(NAMES, (0,), made=True))
    with_contexts = partition(train, test, fleet, made, 0)
    without = partition(train, test, [replace(d, context=0) for d in fleet], PLAN, 0)
    assert set(without["context"]) == {"all"}
    same = without.columns.drop("context")
    pd.testing.assert_frame_equal(with_contexts[same], without[same])
    assert set(with_contexts.loc[with_contexts["tier"] == "cloud", "context"]) == {"day"}
    for who in fleet:
        assert set(mine(with_contexts, who)["context"]) == {NAMES[who.context]}


def test_several_public_sensors_see_the_cloud_s_samples_by_their_content() -> None:
    train, test = source("train", 3600, 1), source("test", 1800, 1)
    made = replace(PLAN, contexts=Contexts(NAMES, (0, 2), made=True))
    frame = partition(train, test, [device(0, 1)], made, 0)
    cloud = frame[frame["tier"] == "cloud"]
    assert set(cloud["context"]) == {"day", "rain"}
    by_content = cloud.groupby("sha256")["context"].nunique()
    assert (by_content == 1).all()


def test_too_few_of_a_context_are_named_with_it() -> None:
    plan = replace(PLAN, slots=None, contexts=Contexts(NAMES, (0,)))
    counts = np.full(3 * CLASSES, 100)
    counts[CLASSES : 2 * CLASSES] = 1  # at night
    names = [f"class {i}" for i in range(CLASSES)]
    said = shortage([device(0, 1)], plan, 0, names, (counts.tolist(), counts.tolist()))
    assert "(night) has 1 distinct image" in str(said)
    assert "public" not in str(said).partition("Or:")[0]
    counts[CLASSES : 2 * CLASSES] = 100
    assert shortage([device(0, 1)], plan, 0, names, (counts.tolist(), counts.tolist())) is None


def test_a_class_that_the_clouds_contexts_lack_is_named_with_them() -> None:
    plan = replace(PLAN, slots=None, contexts=Contexts(NAMES, (0,)))
    counts = np.full(3 * CLASSES, 100)
    counts[3] = 0  # by day
    stock = (counts.tolist(), counts.tolist())
    assert shortage([device(0, 1)], plan, 0, list("abcdef"), stock) == (
        "class d has no public image to learn from: the cloud's contexts are day "
        "(partition.public_contexts), where one would do"
    )
    both = replace(plan, contexts=Contexts(NAMES, (0, 2)))
    assert shortage([device(0, 1)], both, 0, list("abcdef"), stock) is None


def of(sensors: list[str], public: list[str] | None, **devices: str) -> Settings:
    params = tiny_params()
    params = merged(params, {"data": {"sensors": sensors}})
    params["partition"]["public_contexts"] = public
    for cluster in params["fleet"]:
        for one in cluster["devices"]:
            one["context"] = devices.get(f"d{one['id']}")
    return Settings.model_validate(params)


def test_devices_have_their_own_context_or_their_group_s() -> None:
    sensors = ["upright", "rotated", "skewed-noisy"]
    params = of(sensors, ["upright"], d3="rotated")
    found = contexts_of(params)
    assert found == Contexts(tuple(sensors), (0,), made=True)
    groups = {d.id: d.group for d in params.devices}
    assert groups == {0: 0, 1: 1, 2: 0, 3: 1}
    assert [found.of(d) for d in params.devices] == [1, 2, 1, 1]
    everywhere = contexts_of(of(sensors, None))
    assert everywhere.private == everywhere.public == (0, 1, 2)


def test_an_unknown_context_is_named_with_those_that_there_are() -> None:
    with pytest.raises(SettingsError, match=r"public_contexts 'fog': choose one of day, night"):
        contexts_of(of([], ["fog"]), NAMES)
    found = contexts_of(of([], ["day"], d2="fog"), NAMES)
    [third] = [d for d in of([], ["day"], d2="fog").devices if d.id == 2]
    with pytest.raises(SettingsError, match=r"device-02: context 'fog': choose one of day"):
        found.of(third)


def lacking(split: str, n: int) -> Source:
    """A source whose second context has none of classes 0 and 1, and whose third has nothing."""
    whole = source(split, n)
    assert whole.contexts is not None
    there = (whole.contexts == 0) | ((whole.contexts == 1) & (whole.labels > 1))
    return replace(whole, usable=whole.usable[there])


@settings(max_examples=15)
@given(
    level=st.sampled_from(LEVELS),
    slots=st.sampled_from([6, None]),
    theirs=st.lists(st.integers(0, 1), min_size=1, max_size=5),
    seed=st.integers(0, 99),
)
def test_a_device_is_dealt_classes_that_its_context_has(
    level: str, slots: int | None, theirs: list[int], seed: int
) -> None:
    train, test = lacking("train", 3600), lacking("test", 1800)
    stock = [
        np.bincount(of.cells(CLASSES)[of.usable], minlength=3 * CLASSES).tolist()
        for of in (train, test)
    ]
    plan = replace(PLAN, heterogeneity=level, slots=slots, contexts=Contexts(NAMES, (0, 1, 2)))
    plan = plan.of_stock(stock[0])
    assert plan.absent == {CLASSES, CLASSES + 1, *range(2 * CLASSES, 3 * CLASSES)}
    fleet = [device(i, at) for i, at in enumerate(theirs)]
    assert shortage(fleet, plan, seed, list("abcdef"), (stock[0], stock[1])) is None
    frame = partition(train, test, fleet, plan, seed)
    for who in fleet:
        labels = set(mine(frame, who)["label"])
        assert labels
        assert who.context == 0 or labels <= set(range(2, CLASSES))
        assert set(np.flatnonzero(class_shares(who, plan, seed))) <= set(plan.present(who))
        if level in ("C1", "iid"):
            assert len(labels) == {"iid": 1, "C1": 0.8}[level] * len(plan.present(who)) // 1
    nothing = shortage([device(0, 2)], plan, seed, list("abcdef"), (stock[0], stock[1]))
    assert nothing == "device-00 is of context rain, which has no image to learn from"


def test_where_all_contexts_have_all_classes_nothing_is_dealt_otherwise() -> None:
    everything = replace(PLAN, contexts=Contexts(NAMES, (0,)))
    stock = np.bincount(TRAIN.cells(CLASSES), minlength=3 * CLASSES).tolist()
    assert everything.of_stock(stock) == everything
    alone = replace(PLAN, contexts=Contexts(("all",), (0,)))
    assert not alone.of_stock([0] * CLASSES).absent, "a class that nobody has is missed"


def test_a_context_that_samples_deny_is_refused_and_so_are_sensors_beside_theirs() -> None:
    with pytest.raises(SettingsError, match=r"data\.sensors: samples have one context, not two"):
        contexts_of(of(["upright"], None), NAMES)
    params = of([], None, d2="night")
    [third] = [d for d in params.devices if d.id == 2]
    assert contexts_of(params, NAMES, (0,), {2: 1}).of(third) == 1
    assert contexts_of(params, NAMES, (0,), {2: 1}).public == (0,)
    with pytest.raises(SettingsError, match="device-02: context 'night', but its samples have 'ra"):
        contexts_of(params, NAMES, (0,), {2: 2}).of(third)


def test_a_device_may_live_in_a_public_context_among_slots() -> None:
    """Every slot's part of that context is left to devices, as of the others."""
    plan = replace(PLAN, contexts=Contexts(NAMES, (0,)), slots=4)
    fleet = [device(0, 0), device(1, 1)]
    need = needs(fleet, plan, 0)
    of_context = need.train.reshape(len(NAMES), -1).sum(1)
    assert of_context[0] == of_context[1] > 0
    alone = needs(fleet[1:], plan, 0).train.reshape(len(NAMES), -1).sum(1)
    assert alone[0] == 0, "what no device lives in is the cloud's"


def test_a_context_of_data_that_have_none_is_named_with_the_remedy() -> None:
    with pytest.raises(SettingsError, match=r"'day': the data have no contexts .* or null"):
        contexts_of(of([], ["day"]))
