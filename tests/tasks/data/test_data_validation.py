"""Every expectation notices the fault that it is for, and names the rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.data import validation
from tasks.data.partition import partition
from tasks.data.plan import DevicePlan, Plan, needs
from tasks.data.rows import Source
from tasks.data.unseen import unseen_cells
from tasks.data.validation import Rules
from tasks.run.errors import ValidationError

DEVICES = [DevicePlan(i, f"device-{i:02d}", f"edge-{i // 2}", i % 2) for i in range(4)]
PLAN = Plan("C2", 0.5, 200, 50, 50, 100, 0.6, 0.2, 0.2, 0.4, 4, 10)


def _source(split: str, n: int) -> Source:
    labels = np.random.default_rng(n).integers(0, 10, n)
    hashes = np.array([f"{split}{i:d}".encode().hex().rjust(64, "0") for i in range(n)])
    return Source(split, labels, hashes, np.arange(n))


TRAIN, TEST = _source("train", 2000), _source("test", 700)


def reread(ids: list[str]) -> list[str]:
    hashes = {"train": TRAIN.sha256, "test": TEST.sha256}
    return [str(hashes[i.split("-")[0]][int(i.split("-")[1])]) for i in ids]


@pytest.fixture
def manifest() -> pd.DataFrame:
    return partition(TRAIN, TEST, DEVICES, PLAN, 0)


def rows(frame: pd.DataFrame, **facts: str) -> pd.Index:
    chosen = frame
    for column, value in facts.items():
        chosen = chosen[chosen[column] == value]
    return chosen.index


def broken(frame: pd.DataFrame, out: Path, **options) -> str:
    with pytest.raises(ValidationError) as caught:
        validation.validate(frame, reread, out, Rules(**options))
    assert json.loads((out / "validation.json").read_text())["success"] is False
    assert (out / "data_docs/index.html").exists()
    return str(caught.value)


def test_a_good_manifest_passes_and_leaves_its_result(manifest, tmp_path: Path) -> None:
    classes = manifest[manifest["tier"] == "device"].groupby("owner")["label"].unique().to_dict()
    result = validation.validate(manifest, reread, tmp_path, Rules(classes=classes))
    written = json.loads((tmp_path / "validation.json").read_text())
    assert written["success"] is result["success"] is True
    assert (tmp_path / "data_docs/index.html").exists()
    named = {r["expectation_config"]["kwargs"].get("column") for r in written["results"]}
    assert set(validation.with_checks(manifest, reread, Rules()).columns) - {"shared_by"} <= named
    assert not any(p.name.startswith("gx") for p in tmp_path.iterdir())


def test_a_dollar_in_the_folder_s_name_is_no_variable(manifest, tmp_path: Path) -> None:
    out = tmp_path / "$HOME and ${NOTHING}"
    validation.validate(manifest, reread, out, Rules())
    assert (out / "data_docs/index.html").exists()
    assert list(tmp_path.iterdir()) == [out]


def test_a_manifest_read_from_parquet_passes(manifest, tmp_path: Path) -> None:
    manifest.to_parquet(tmp_path / "m.parquet", index=False)
    again = pd.read_parquet(tmp_path / "m.parquet")
    assert validation.validate(again, reread, tmp_path / "out", Rules())["success"]


# Each fault, planted: the columns whose expectations must notice it are listed below; no other may.


def two_owners(f: pd.DataFrame) -> pd.DataFrame:
    extra = f.loc[rows(f, owner="device-00", split="train")[:1]].assign(owner="device-02")
    return pd.concat([f, extra], ignore_index=True)


def public_sample_on_a_device(f: pd.DataFrame) -> pd.DataFrame:
    label = f.loc[rows(f, owner="device-00", split="train"), "label"].iloc[0]
    public = f.loc[rows(f, owner="cloud", split="train")]
    extra = public[public["label"] == label].head(1)
    return pd.concat([f, extra.assign(owner="device-00", tier="device")], ignore_index=True)


def leak_by_id(f: pd.DataFrame) -> pd.DataFrame:
    extra = f.loc[rows(f, owner="device-00", split="train")[:1]].assign(split="val")
    return pd.concat([f, extra], ignore_index=True)


def leak_by_content(f: pd.DataFrame) -> pd.DataFrame:
    here, there = (
        rows(f, owner="cloud", split="train")[0],
        rows(f, owner="device-01", split="test")[0],
    )
    f.loc[there, "sha256"] = f.loc[here, "sha256"]
    return f


def twin_in_one_split(f: pd.DataFrame) -> pd.DataFrame:
    a, b = rows(f, owner="cloud", split="train")[:2]
    f.loc[b, "sha256"] = f.loc[a, "sha256"]
    return f


def train_from_test(f: pd.DataFrame) -> pd.DataFrame:
    f.loc[rows(f, owner="cloud", split="test")[0], "split"] = "train"
    return f


def shared_from_val(f: pd.DataFrame) -> pd.DataFrame:
    val = f.loc[rows(f, owner="device-00", split="val")[0]]
    target = rows(f, shared_by="device-00")[0]
    f.loc[target, ["sample_id", "sha256", "label"]] = val[["sample_id", "sha256", "label"]]
    return f


def shared_from_another(f: pd.DataFrame) -> pd.DataFrame:
    f.loc[rows(f, shared_by="device-00")[0], "shared_by"] = "device-02"
    return f


def shared_without_consent(f: pd.DataFrame) -> pd.DataFrame:
    f.loc[rows(f, shared_by="device-00")[0], "shared_by"] = None
    return f


def shared_with_two_edges(f: pd.DataFrame) -> pd.DataFrame:
    extra = f.loc[rows(f, shared_by="device-00")[:1]].assign(owner="edge-1")
    return pd.concat([f, extra], ignore_index=True)


def shared_too_much(f: pd.DataFrame) -> pd.DataFrame:
    shared = set(f.loc[rows(f, shared_by="device-00"), "sample_id"])
    own = f.loc[rows(f, owner="device-00", split="train")]
    extra = own[~own["sample_id"].isin(shared)].head(1)
    extra = extra.assign(owner="edge-0", tier="edge", shared_by="device-00")
    return pd.concat([f, extra], ignore_index=True)


def shared_nothing(f: pd.DataFrame) -> pd.DataFrame:
    return f.drop(rows(f, shared_by="device-00"))


def owner_of_two_tiers(f: pd.DataFrame) -> pd.DataFrame:
    f.loc[rows(f, owner="device-00", split="test")[0], "tier"] = "cloud"
    return f


def class_too_rare(f: pd.DataFrame) -> pd.DataFrame:
    shared = set(f.loc[rows(f, tier="edge"), "sample_id"])
    own = f.loc[rows(f, owner="device-00", split="train")]
    label = own["label"].iloc[0]
    of_class = own[(own["label"] == label) & ~own["sample_id"].isin(shared)]
    return f.drop(of_class.index[: len(own[own["label"] == label]) - 4])


def no_test_split(f: pd.DataFrame) -> pd.DataFrame:
    return f.drop(rows(f, owner="device-00", split="test"))


def malformed_hash(f: pd.DataFrame) -> pd.DataFrame:
    f.loc[rows(f, owner="cloud", split="train")[0], "sha256"] = "AB"
    return f


def wrong_hashes(f: pd.DataFrame) -> pd.DataFrame:
    f["sha256"] = f["sha256"].str.replace("^00", "ff", regex=True)
    return f


def unknown_split(f: pd.DataFrame) -> pd.DataFrame:
    f.loc[rows(f, owner="cloud", split="train")[0], "split"] = "training"
    return f


def unknown_tier(f: pd.DataFrame) -> pd.DataFrame:
    f.loc[rows(f, owner="cloud", split="train")[0], "tier"] = "fog"
    return f


def negative_label(f: pd.DataFrame) -> pd.DataFrame:
    f.loc[rows(f, owner="cloud", split="train")[0], "label"] = -1
    return f


def float_labels(f: pd.DataFrame) -> pd.DataFrame:
    return f.assign(label=f["label"].astype(float))


def no_owner(f: pd.DataFrame) -> pd.DataFrame:
    f.loc[rows(f, owner="cloud", split="train")[0], "owner"] = None
    return f


def no_sample_id(f: pd.DataFrame) -> pd.DataFrame:
    f.loc[rows(f, owner="cloud", split="train")[0], "sample_id"] = None
    return f


def malformed_sample_id(f: pd.DataFrame) -> pd.DataFrame:
    f.loc[rows(f, owner="cloud", split="train")[0], "sample_id"] = "train-x"
    return f


def unknown_samples(f: pd.DataFrame) -> pd.DataFrame:
    f["sample_id"] = f["sample_id"].str.replace("-00", "-99")
    return f


def two_contexts(f: pd.DataFrame) -> pd.DataFrame:
    f.loc[rows(f, owner="device-01", split="test")[0], "context"] = "night"
    return f


@pytest.mark.parametrize(
    ("plant", "columns"),
    [
        (two_owners, {"one_owner"}),
        (public_sample_on_a_device, {"one_owner"}),
        (leak_by_id, {"one_split", "once"}),
        (leak_by_content, {"one_split", "one_sample", "as_reread"}),
        (twin_in_one_split, {"one_sample", "as_reread"}),
        (train_from_test, {"own_source"}),
        (shared_from_val, {"consented"}),
        (shared_from_another, {"consented", "share_declared"}),
        (shared_without_consent, {"consented"}),
        (shared_with_two_edges, {"once", "share_declared"}),
        (shared_too_much, {"share_declared"}),
        (shared_nothing, {"share_declared"}),
        (owner_of_two_tiers, {"own_tier"}),
        (class_too_rare, {"enough", "share_declared"}),
        (no_test_split, {"has_splits"}),
        (malformed_hash, {"sha256", "as_reread"}),
        (wrong_hashes, {"as_reread"}),
        (unknown_split, {"split"}),
        (unknown_tier, {"tier", "own_tier"}),
        (negative_label, {"label"}),
        (float_labels, {"label"}),
        (no_owner, {"owner", "one_owner", "own_tier"}),
        (no_sample_id, {"sample_id", "one_owner", "one_sample"}),
        (malformed_sample_id, {"sample_id"}),
        (unknown_samples, {"as_reread"}),
        (two_contexts, {"own_context"}),
    ],
)
def test_a_planted_fault_is_noticed_by_its_rule(
    manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant, columns: set[str]
) -> None:
    monkeypatch.setattr(validation, "REREAD", 10**6)
    words = broken(plant(manifest.copy()), tmp_path)
    result = json.loads((tmp_path / "validation.json").read_text())
    failed = [r for r in result["results"] if not r["success"]]
    assert {r["expectation_config"]["kwargs"].get("column") for r in failed} == columns
    for each in failed:
        config = each["expectation_config"]
        assert (config.get("notes") or config["type"]) in words


def test_who_may_have_which_context(manifest, tmp_path: Path) -> None:
    allowed = {"cloud": ["day"], "device-01": ["night"]}
    night = (manifest["owner"] == "device-01") | (manifest["shared_by"] == "device-01")
    manifest["context"] = np.where(night, "night", "day")
    validation.validate(manifest, reread, tmp_path, Rules(contexts=allowed))
    cloud = rows(manifest, owner="cloud", split="train")[0]
    manifest.loc[cloud, "context"] = "night"
    words = broken(manifest, tmp_path, contexts=allowed)
    assert "a device's samples have its context, and the cloud's a public one (1 row" in words


def test_a_class_that_is_met_is_in_the_test_split_alone(tmp_path: Path) -> None:
    plan = replace(PLAN, unseen_classes=1)
    cells = unseen_cells(DEVICES, needs(DEVICES, plan, 0).wanted, plan.unseen_classes, 0)
    met = {d.name: np.flatnonzero(row).tolist() for d, row in zip(DEVICES, cells, strict=True)}
    frame = partition(TRAIN, TEST, DEVICES, plan, 0)
    rules = {"wanted": met, "unseen": met}
    assert all(met.values())
    assert validation.validate(frame, reread, tmp_path, Rules(**rules))["success"]
    assert "enough train samples" in broken(frame, tmp_path), "where nothing is wanted"
    learns = frame.index[(frame["owner"] == "device-00") & (frame["split"] == "val")][0]
    has = {"device-00": [int(frame.loc[learns, "label"])]}
    words = broken(frame, tmp_path, wanted=met | has, unseen=met)
    assert "of a class that a device wants it has test samples alone" in words
    [label] = met["device-00"]
    tested = (frame["owner"] == "device-00") & (frame["label"] == label)
    words = broken(frame[~tested], tmp_path, **rules)
    assert "every device is tested on the classes that are unseen" in words


def test_rows_are_named(manifest, tmp_path: Path) -> None:
    row = rows(manifest, owner="cloud", split="train")[7]
    manifest.loc[row, "sha256"] = "zz"
    words = broken(manifest, tmp_path)
    assert f"(1 row, first {manifest.loc[row, 'sample_id']})" in words
    assert "validation.json" in words
    page = next((tmp_path / "data_docs/validations").rglob("*.html")).read_text()
    assert manifest.loc[row, "sample_id"] in page


def test_a_class_or_device_that_is_gone_is_noticed(manifest, tmp_path: Path) -> None:
    own = manifest[(manifest["owner"] == "device-00")]
    classes = {"device-00": own["label"].unique().tolist(), "device-09": [3]}
    gone = classes["device-00"][0]
    mine = (manifest["owner"] == "device-00") | (manifest["shared_by"] == "device-00")
    words = broken(manifest[~(mine & (manifest["label"] == gone))], tmp_path, classes=classes)
    assert f"device-00 has none of class {gone}" in words
    assert "device-09 has none of class 3" in words
    assert "2 are missing" in words
    assert f"class {classes['device-00'][1]}" not in words


def test_a_missing_column_and_an_empty_manifest(manifest, tmp_path: Path) -> None:
    words = broken(manifest.drop(columns=["sha256", "owner"]), tmp_path / "a")
    assert "expect_column_to_exist on sha256" in words
    assert "expect_column_to_exist on owner" in words
    assert "expect_table_row_count" in broken(manifest.iloc[:0], tmp_path / "b")


def test_min_per_class_and_range_are_the_callers(manifest, tmp_path: Path) -> None:
    assert "enough" in broken(manifest, tmp_path, min_per_class=13)
    assert "shares 10 to 20 %" in broken(manifest, tmp_path, shared_range=(0.1, 0.15))
    pages = list((tmp_path / "data_docs/validations").rglob("*.html"))
    assert len(pages) == 1  # the earlier run's page is gone
