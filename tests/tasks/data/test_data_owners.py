"""Data that say whose they are, divided: each device has its own rows, the cloud all others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from tasks.data.dataset import Owned
from tasks.data.own import as_source, own_rows
from tasks.data.partitioning import divide
from tasks.data.plan import DevicePlan, Plan
from tasks.data.samples import read_world
from tasks.data.sources import count, wanted_of
from tasks.run.errors import AcmeError, DataError
from tasks.run.store import read_tensors
from tasks.settings.fields import yaml_text
from tasks.settings.params import Settings, merged
from tasks.setup.check import check
from tasks.setup.profiling import train_samples
from tests.listing import write_listing
from tests.tiny import tiny_params

OWN = {
    "data": {"source": "manifest"},
    "partition": {"samples_per_device": 0, "slots": None}
    | {"public_train": 150, "public_val": 50, "public_test": 50},
}


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pd.DataFrame]:
    """The working folder has data of four devices; what their manifest lists."""
    root = tmp_path_factory.mktemp("listed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        frame = write_listing(Path("data"), of_class=60)
        frame.to_csv("data/manifest.csv", index=False)
        yield frame


def settings_of(**overlay: Any) -> Settings:
    return Settings.model_validate(merged(merged(tiny_params(), OWN), overlay))


def test_each_owner_s_samples_are_its_own_rows(listed: pd.DataFrame, tmp_path: Path) -> None:
    divide(settings_of(), "content", tmp_path / "out", tmp_path / "report")
    manifest = pd.read_parquet(tmp_path / "out/manifest.parquet")
    assert set(manifest["tier"]) == {"cloud", "device"}, "nothing is shared"
    for device in range(4):
        name = f"device-{device:02d}"
        rows = manifest[manifest["owner"] == name]
        assert rows["sample_id"].str.startswith(f"own{device:02d}-").all()
        mine = listed[listed["device"] == name]
        assert set(rows["label"].map("{:02d}".format)) == set(mine["label"])
        assert 0.9 * len(mine) <= len(rows) <= len(mine), "but for contents that are there twice"
        assert set(rows["split"]) == {"train", "val", "test"}
        assert set(rows["context"]) == {"night" if device % 2 else "day"}
    cloud = manifest[manifest["owner"] == "cloud"]
    assert set(cloud["context"]) == {"day"}
    pixels = {
        owner: {image.tobytes() for image in all_images(tmp_path / f"out/samples/{owner}")}
        for owner in ("cloud", *(f"device-{at:02d}" for at in range(4)))
    }
    for one, images in pixels.items():
        assert not any(images & others for name, others in pixels.items() if name != one)
    contexts = json.loads((tmp_path / "out/contexts.json").read_text())
    assert (contexts["names"], contexts["public"]) == (["day", "night"], ["day"])
    info = json.loads((tmp_path / "out/data.json").read_text())
    assert info["classes"] == [f"{label:02d}" for label in range(10)]


def all_images(samples: Path) -> list[np.ndarray]:
    tensors, _ = read_tensors(samples.with_suffix(".safetensors"))
    return [
        image for name, of in tensors.items() if name.endswith("_images") for image in of.numpy()
    ]


def test_no_sensor_sees_what_devices_bring_and_nothing_else_is_theirs() -> None:
    with pytest.raises(ValidationError, match=r"no sensor sees: set data\.sensors: \[\]"):
        settings_of(data={"sensors": ["upright", "rotated"]})


@pytest.mark.parametrize(
    ("overlay", "said"),
    [
        (
            {"partition": {"samples_per_device": 100}},
            r"samples_per_device: 100, but data/manifest\.csv says which samples .*: give 0",
        ),
        ({"partition": {"public_contexts": ["noon"]}}, "public_contexts 'noon': choose one of day"),
        ({"partition": {"public_contexts": ["night"]}}, r"take 200 of 0 .* 200 images would do$"),
        ({"data": {"manifest": "other.csv"}}, r"data/other\.csv: No such file"),
    ],
)
def test_what_these_settings_cannot_be_is_refused_by_check_and_by_the_run(
    listed: pd.DataFrame, tmp_path: Path, overlay: dict[str, Any], said: str
) -> None:
    refused(tmp_path, settings_of(**overlay), said)


def merged_into(settings: Settings, overlay: dict[str, Any]) -> Settings:
    return Settings.model_validate(merged(settings.model_dump(mode="json"), overlay))


def refused(tmp_path: Path, settings: Settings, said: str) -> None:
    params = tmp_path / "params.yaml"
    params.write_text(yaml_text(settings.model_dump(mode="json")))
    with pytest.raises(AcmeError, match=said) as caught:
        check(params)
    assert "\n" not in str(caught.value)
    with pytest.raises(AcmeError, match=said):
        divide(settings, "content", tmp_path / "out", tmp_path / "report")


def test_fleet_and_rows_have_the_same_devices(listed: pd.DataFrame, tmp_path: Path) -> None:
    params = merged(tiny_params(), OWN)
    last = params["fleet"][1]["devices"].pop()
    settings = Settings.model_validate(params)
    refused(tmp_path, settings, r"data/manifest\.csv: device-03 is not in the fleet: add it")
    params["fleet"][1]["devices"] += [last, {**last, "id": 5}]
    settings = Settings.model_validate(params)
    refused(tmp_path, settings, r"fleet: device-05 has no row in data/manifest\.csv")
    params["fleet"][1]["devices"][-2:] = [{**last, "context": "day"}]
    settings = Settings.model_validate(params)
    refused(tmp_path, settings, "device-03: context 'day', but its samples have 'night'")


def test_all_public_rows_may_be_public_and_no_more(listed: pd.DataFrame, tmp_path: Path) -> None:
    rows = int(listed["device"].isna().sum())
    counts = count("manifest", Path("data"), wanted_of(settings_of()))
    assert counts is not None
    train, test = sum(counts.train), sum(counts.test)
    assert train + test == rows
    params = tmp_path / "params.yaml"
    for more in (0, 1):
        sizes = {"public_train": train - 50, "public_val": 50, "public_test": test + more}
        settings = settings_of(partition=sizes)
        params.write_text(yaml_text(settings.model_dump(mode="json")))
        if more:
            with pytest.raises(AcmeError, match=rf"{test + 1} of {test} test samples are too many"):
                check(params)
        else:
            check(params)


def test_an_epoch_is_over_what_devices_bring(listed: pd.DataFrame) -> None:
    assert train_samples(settings_of()) == round(0.6 * listed["device"].notna().sum() / 4)
    with pytest.raises(AcmeError, match="nowhere has none: bring them here"):
        train_samples(settings_of(data={"folder": "nowhere"}))


def test_rows_that_are_too_few_say_how_many_would_do(listed: pd.DataFrame, tmp_path: Path) -> None:
    one = listed.groupby(["device", "label"]).cumcount() < 1
    few = listed[listed["device"].isna() | one]
    few.to_csv("data/few.csv", index=False)
    settings = settings_of(data={"manifest": "few.csv"})
    refused(tmp_path, settings, r"device-00 has 3 distinct images of its own.* 5 in .* would do")


def test_a_list_without_devices_is_dealt(listed: pd.DataFrame, tmp_path: Path) -> None:
    frame = listed.drop(columns=["device", "context"])
    frame.to_csv("data/public.csv", index=False)
    one = settings_of(
        data={"manifest": "public.csv"}, partition={"samples_per_device": 30, "slots": 5}
    )
    divide(one, "content", tmp_path / "list", tmp_path / "report")
    folders = {"data": {"source": "image-folder", "folder": "data/images"}}
    divide(merged_into(one, folders), "content", tmp_path / "folders", tmp_path / "report")
    found, expected = (
        pd.read_parquet(tmp_path / name / "manifest.parquet") for name in ("list", "folders")
    )
    pd.testing.assert_frame_equal(found, expected)


# classes that devices want


@pytest.fixture
def met(listed: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The manifest tells splits; device-00 has test rows alone of class 02."""
    last = listed.groupby(["device", "label"]).cumcount() % 3 == 2
    rows = listed.assign(split=np.where(last, "test", "train"))
    mine = (rows["device"] == "device-00") & (rows["label"] == "02")
    rows.loc[mine, "split"] = "test"
    rows.to_csv("data/met.csv", index=False)
    yield rows
    Path("data/met.csv").unlink()


def wants(*names: str) -> Settings:
    params = merged(tiny_params(), merged(OWN, {"data": {"manifest": "met.csv"}}))
    params["fleet"][0]["devices"][0]["wanted"] = list(names)
    return Settings.model_validate(params)


def test_of_a_class_that_it_wants_a_device_may_bring_what_it_is_tested_on(
    met: pd.DataFrame, tmp_path: Path
) -> None:
    settings = wants("02", "07")
    (tmp_path / "params.yaml").write_text(yaml_text(settings.model_dump(mode="json")))
    check(tmp_path / "params.yaml")
    divide(settings, "content", tmp_path / "out", tmp_path / "report")
    manifest = pd.read_parquet(tmp_path / "out/manifest.parquet")
    mine = manifest[manifest["owner"] == "device-00"]
    assert set(mine.loc[mine["label"] == 2, "split"]) == {"test"}
    classes = read_world(tmp_path / "out", ["device-00", "device-01"]).classes
    assert classes("device-00").own.tolist() == [0, 1]
    assert classes("device-00").all.tolist() == [0, 1, 2, 7]
    assert classes("device-01").wanted is None
    assert "wanted" not in read_tensors(tmp_path / "out/samples/device-01.safetensors")[0]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "device-00 has no train row of label '02'"),
        (("01", "02"), r"fleet: device-00: wanted '01': it has samples of that class"),
        (("02", "other"), r"fleet: device-00: wanted 'other': no class of that name; .* 00, 01"),
    ],
)
def test_what_a_device_cannot_want_is_refused(
    met: pd.DataFrame, tmp_path: Path, names: tuple[str, ...], said: str
) -> None:
    refused(tmp_path, wants(*names), said)


# splits that are told

PLAN = Plan("C2", 0.5, 10, 10, 10, 0, 0.6, 0.2, 0.2, 0.4, None, 3)
DEVICE = DevicePlan(1, "device-01", "north", 0)
NOTHING = pd.DataFrame({"label": []})


@pytest.mark.parametrize("told", [(), (1,), (2,), (1, 2)])
def test_told_splits_stay_and_the_others_are_cut_off_train(told: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (200, 1, 4, 4), dtype=np.uint8)
    labels, splits = np.arange(200) % 3, rng.choice([0, *told], 200)
    source = as_source("own01", Owned(images, labels, (), splits), set())
    rows = pd.concat(own_rows(source, DEVICE, PLAN, NOTHING))
    found = rows["split"].map({"train": 0, "val": 1, "test": 2}).to_numpy()
    before = splits[rows["sample_id"].str[-6:].astype(int)]
    assert (found[before > 0] == before[before > 0]).all()
    cut = found[before == 0]
    sizes = {at: size for at, size in enumerate((0.6, 0.2, 0.2)) if at not in told}
    assert set(cut) == set(sizes)
    for at, size in sizes.items():
        assert (cut == at).mean() == pytest.approx(size / sum(sizes.values()), abs=0.1)


@pytest.mark.parametrize("told", [(1,), (2,), (1, 2)])
def test_of_few_told_images_no_split_stays_empty(told: tuple[int, ...]) -> None:
    lacks = 2 - len(told)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        images = rng.integers(0, 256, (2 + lacks + len(told), 1, 4, 4), dtype=np.uint8)
        splits = np.array([*told, *[0] * (2 + lacks)])
        labels = np.array([0] * (len(told) + lacks) + [0, 1])
        source = as_source("own01", Owned(images, labels, (), splits), set())
        rows = pd.concat(own_rows(source, DEVICE, PLAN, NOTHING))
        assert set(rows["split"]) == {"train", "val", "test"}
        assert set(rows.loc[rows["split"] == "train", "label"]) == {0, 1}
        fewer = as_source("own01", Owned(images[:-1], labels[:-1], (), splits[:-1]), set())
        again = Owned(images[:-1], np.where(splits[:-1], 1, labels[:-1]), (), splits[:-1])
        with pytest.raises(DataError, match=r"has \d distinct images? of its own to train on"):
            own_rows(as_source("own01", again, set()), DEVICE, PLAN, NOTHING)
        assert len(fewer.usable) == len(images) - 1
