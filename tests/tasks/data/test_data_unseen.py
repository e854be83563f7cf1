"""Classes that a device will meet: what it is dealt of them, and what it may want."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.contexts import Contexts
from tasks.data.enough import shortage
from tasks.data.partition import partition
from tasks.data.partitioning import divide
from tasks.data.plan import DevicePlan, needs
from tasks.data.samples import read_world, with_spare
from tasks.data.unseen import KEPT, unseen_cells
from tasks.experiments.second import write_digits
from tasks.run.store import read_tensors
from tasks.settings.fields import yaml_text
from tasks.settings.params import Settings, merged
from tasks.setup.check import check
from tests.tasks.data.test_data_owners import refused
from tests.tasks.data.test_data_partition import PLAN, TEST, TRAIN
from tests.tiny import bring, tiny_params

MADE = Contexts(("upright", "rotated"), (0,), made=True)
NATURAL = Contexts(("day", "night"), (0,))


def device(number: int, edge: int, group: int = 0, context: int = 0) -> DevicePlan:
    return DevicePlan(number, f"device-{number:02d}", f"edge-{edge}", group, context)


def labels(frame: pd.DataFrame, who: DevicePlan, *splits: str) -> set[int]:
    """Of a device's rows in some splits; ``shared``: of those that it gave to its edge."""
    shared = frame[frame["shared_by"] == who.name].assign(split="shared")
    mine = pd.concat([frame[frame["owner"] == who.name], shared])
    return {*mine.loc[mine["split"].isin(splits), "label"]}


FLEETS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=6
)


@settings(max_examples=10)
@given(
    fleet=FLEETS,
    count=st.integers(1, 9),
    level=st.sampled_from(["iid", "C1", "C2", "C3", "dirichlet"]),
    contexts=st.sampled_from([MADE, NATURAL]),
    seed=st.integers(0, 99),
)
def test_a_device_meets_what_only_its_peers_learn(
    fleet: list[tuple[int, int, int]], count: int, level: str, contexts: Contexts, seed: int
) -> None:
    devices = [device(at, *facts) for at, facts in enumerate(fleet)]
    plain = replace(PLAN, heterogeneity=level, contexts=contexts, public_train=100, public_val=50)
    train, test = TRAIN, TEST
    if not contexts.made:
        train = replace(TRAIN, contexts=np.arange(len(TRAIN.labels)) % 2)
        test = replace(TEST, contexts=np.arange(len(TEST.labels)) % 2)
    before = partition(train, test, devices, plain, seed)
    plan = replace(plain, unseen_classes=count)
    frame = partition(train, test, devices, plan, seed)
    pd.testing.assert_frame_equal(frame, partition(train, test, devices[::-1], plan, seed))
    cells = unseen_cells(devices, needs(devices, plan, seed).wanted, plan.unseen_classes, seed)
    unseen = [{*(np.flatnonzero(row) % plan.classes).tolist()} for row in cells]
    for who, met in zip(devices, unseen, strict=True):
        learned = labels(frame, who, "train")
        assert len(met) <= count
        assert met <= labels(frame, who, "test")
        assert not met & labels(frame, who, "train", "val", "shared")
        assert len(learned) >= min(KEPT, len(labels(before, who, "train")))
        peers = [d for d in devices if d != who and (d.edge, d.context) == (who.edge, who.context)]
        assert all(any(label in labels(frame, d, "train") for d in peers) for label in met)
        if len(met) < count and level != "dirichlet":  # no more could be: all that it still learns
            taught = set().union(*(labels(frame, d, "train") for d in peers))
            assert len(learned) == KEPT or not learned & taught, "of the last there is one teacher"
    lost = before[~before["sample_id"].isin(frame["sample_id"])]
    assert all(
        row.label in unseen[int(row.owner[-2:])] and row.split != "test"
        for row in lost[lost["tier"] == "device"].itertuples()
    ), "nobody has less of anything else"
    columns = ["sample_id", "owner", "split", "label", "sha256", "context"]
    own = frame.loc[frame["tier"] != "edge", columns]
    assert len(own.merge(before, on=columns)) == len(own), "and nobody more"


def test_devices_of_one_group_lack_different_classes_and_seeds_draw_others() -> None:
    devices, plan = [device(0, 0), device(1, 0)], replace(PLAN, unseen_classes=2)
    found = [
        unseen_cells(devices, needs(devices, plan, s).wanted, plan.unseen_classes, s)
        for s in range(5)
    ]
    for cells in found:
        assert cells.sum(1).tolist() == [2, 2]
        assert not (cells[0] & cells[1]).any()
    assert len({cells.tobytes() for cells in found}) > 1


def test_without_a_peer_nothing_is_unseen() -> None:
    plan = replace(PLAN, unseen_classes=2, contexts=MADE)
    for devices in (
        [device(0, 0)],
        [device(0, 0), device(1, 1)],
        [device(0, 0), device(1, 0, 0, 1)],
    ):
        assert not unseen_cells(
            devices, needs(devices, plan, 0).wanted, plan.unseen_classes, 0
        ).any()


def test_a_class_that_is_met_has_a_test_sample_for_each_device() -> None:
    devices, plan = [device(at, 0) for at in range(4)], replace(PLAN, slots=None, unseen_classes=2)
    names = [f"name {label}" for label in range(10)]
    counts = np.bincount(TRAIN.labels), np.bincount(TEST.labels)
    assert shortage(devices, plan, 0, names, counts) is None
    [met, *_] = np.flatnonzero(
        unseen_cells(devices, needs(devices, plan, 0).wanted, plan.unseen_classes, 0).any(0)
    )
    counts[1][met] = 3
    said = shortage(devices, plan, 0, names, counts)
    assert said is not None
    assert f"class name {met} has 3 distinct images to test on" in said
    assert "4 would do" in said
    assert shortage(devices, replace(plan, unseen_classes=0), 0, names, counts) is None


# by settings


def of(**overlay: Any) -> Settings:
    """Two devices an edge, both of the same classes."""
    params = merged(tiny_params(), {"partition": {"unseen_classes": 2}})
    for cluster in params["fleet"]:
        cluster["devices"][1]["group"] = cluster["devices"][0]["group"]
    return Settings.model_validate(merged(params, overlay))


@pytest.fixture(scope="module", autouse=True)
def digits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The working folder has digits."""
    root = tmp_path_factory.mktemp("digits")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_digits(root / "data")
        yield


def test_what_a_device_wants_lies_beside_its_samples_and_who_has_fewer_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = of().fleet
    alone = second.model_copy(update={"devices": second.devices[:1]})
    settings = of().model_copy(update={"fleet": (first, alone)})
    (tmp_path / "params.yaml").write_text(yaml_text(settings.model_dump(mode="json")))
    [words] = check(tmp_path / "params.yaml").notes
    assert "\n" not in words
    assert words.startswith("partition.unseen_classes 2: fewer are unseen by device-02 0: no peer")
    divide(settings, "content", tmp_path / "out", tmp_path / "report")
    assert words in capsys.readouterr().err
    one, other, lonely = names = [f"device-{number:02d}" for number in range(3)]
    world = with_spare(read_world(tmp_path / "out", names), tmp_path / "out")
    mine, theirs = world.classes(one), world.classes(other)
    assert mine.wanted is not None
    assert theirs.wanted is not None
    assert len(mine.wanted) == len(theirs.wanted) == 2
    assert not {*mine.own.tolist()} & {*mine.wanted.tolist()}
    assert {*mine.wanted.tolist()} <= {*theirs.own.tolist()}
    assert torch.equal(mine.all, theirs.all)
    tensors, _ = read_tensors(world.samples[one])
    assert torch.equal(tensors["test_labels"].long().unique(), mine.all)
    assert not torch.isin(tensors["val_labels"], mine.wanted).any()
    spare, _ = read_tensors(world.unused[one])
    assert torch.isin(mine.wanted, spare["unused_labels"]).all(), "the ceiling learns them"
    for owner in ("cloud", lonely):
        assert "wanted" not in read_tensors(world.samples[owner])[0]
    (tmp_path / "params.yaml").write_text(yaml_text(of().model_dump(mode="json")))
    assert check(tmp_path / "params.yaml").notes == ()


@pytest.mark.parametrize(
    ("overlay", "said"),
    [
        ({"partition": {"unseen_classes": 9}}, "unseen_classes: 9, but of 10 classes a.* give 8"),
        ({"fleet": {"wanted": ["11"]}}, "device-00: wanted '11': no class of that name; there are"),
        ({"fleet": {"wanted": ["a", "b"]}}, "device-00: wanted 'a': no class of that name"),
        ({"fleet": {"wanted": [str(label) for label in range(10)]}}, "or is dealt some: leave it"),
    ],
)
def test_what_cannot_be_wanted_is_refused_by_check_and_by_the_run(
    tmp_path: Path, overlay: dict[str, Any], said: str
) -> None:
    values = of().model_dump(mode="json")
    values["fleet"][0]["devices"][0] |= overlay.pop("fleet", {})
    refused(tmp_path, Settings.model_validate(merged(values, overlay)), said)


def test_unseen_classes_are_of_devices_that_bring_nothing(tmp_path: Path) -> None:
    bring(Path(), "device-01", "3", "3", 8)
    try:
        refused(
            tmp_path, of(), "unseen_classes: 2, but device-01 brings samples of its own: give 0"
        )
    finally:
        shutil.rmtree("data/devices")
