"""One device's data change, are accepted, and lead to a challenger for it and for nobody else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from tasks.data import pin
from tasks.data.samples import samples_ref
from tasks.run.errors import DataError, StageError, ValidationError
from tests.tiny import ROOT, bring


@pytest.fixture(scope="module")
def project(
    finished: Path, prefect_home: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A finished project with its partition stage, and the current folder."""
    root = tmp_path_factory.mktemp("nightly") / "project"
    shutil.copytree(finished, root)
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["partition"]
    stage["deps"] = ["data.sha256"]  # the code is not below this project
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"partition": stage}}))
    results = {PREFECT_LOCAL_STORAGE_PATH: root / "artifacts/work/results"}
    with pytest.MonkeyPatch.context() as patch, temporary_settings(results):
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield root


def versions(root: Path) -> dict[str, int]:
    from tasks.tracking.candidates import connect

    counts: dict[str, int] = {}
    for found in connect(root).search_model_versions():
        counts[found.name] = counts.get(found.name, 0) + 1
    return counts


def missing_classes(root: Path, device: str) -> list[int]:
    manifest = pd.read_parquet(root / "artifacts/partition/manifest.parquet")
    return sorted(set(range(10)) - set(manifest[manifest.owner == device].label))


def test_changed_data_lead_to_a_challenger_for_that_device_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.nightly import check_devices

    before = versions(project)
    others = {n: samples_ref(n).sha256 for n in ("device-00", "device-02", "device-03", "cloud")}
    label = str(missing_classes(project, "device-01")[0])
    bring(project, "device-01", label, label, 40)
    with pytest.raises(StageError, match="acme data pin"):
        check_devices(refine_by=None)

    pin.pin(Path("data"), Path("data.dvc"))
    trained = count_trainings(monkeypatch)
    found = {f.device: f.status for f in check_devices(refine_by=None)}
    assert found == {
        "device-00": "unchanged",
        "device-01": "drifted",
        "device-02": "unchanged",
        "device-03": "unchanged",
    }
    assert {n: samples_ref(n).sha256 for n in others} == others
    assert trained == {1}  # no peer trained again
    assert versions(project) == {**before, "acme-device-01": before["acme-device-01"] + 1}
    ledger = pd.read_parquet("artifacts/nightly/device-01/ledger.parquet")
    assert set(ledger.sender) | set(ledger.receiver) == {"device-01", "north"}

    version = newest("acme-device-01", project)
    assert version.tags["samples_sha256"] == samples_ref("device-01").sha256
    assert version.tags["acme.reason"]
    assert {version.tags["header_run"], version.tags["backbone_run"]}

    again = {f.device: f.status for f in check_devices(refine_by=None)}
    assert set(again.values()) == {"unchanged"}
    assert versions(project)["acme-device-01"] == before["acme-device-01"] + 1


def count_trainings(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """A set that gets the number of devices of every training from now on."""
    from models.refinement import training

    seen: set[int] = set()
    original = training.fit_devices

    def counted(headers: Any, *args: Any, **options: Any) -> Any:
        seen.add(len(headers))
        return original(headers, *args, **options)

    monkeypatch.setattr(training, "fit_devices", counted)
    return seen


def newest(name: str, root: Path) -> Any:
    from tasks.tracking.candidates import connect

    found = connect(root).search_model_versions(f"name = '{name}'")
    return max(found, key=lambda v: int(v.version))


def test_a_folder_of_an_unknown_device_or_class_is_named(pinned: Path, tmp_path: Path) -> None:
    from tasks.data import own

    root = tmp_path / "project"
    shutil.copytree(pinned, root)
    bring(root, "device-77", "3", "3", 1)
    with pytest.raises(DataError, match=r"device-77: the fleet has no such device"):
        own.load(root / "data", {"device-01": 1}, list("0123456789"), 8, 1)
    shutil.rmtree(root / "data/devices")
    bring(root, "device-01", "3", "three", 1)
    with pytest.raises(DataError, match=r"three: no class of that name"):
        own.load(root / "data", {"device-01": 1}, list("0123456789"), 8, 1)


def test_own_images_never_change_the_split_of_those_before() -> None:
    from tasks.data.own import as_source
    from tasks.data.partition import DevicePlan, Plan, _own_rows

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 1, 4, 4), dtype=np.uint8)
    plan = Plan("C2", 0.5, 10, 10, 10, 100, 0.6, 0.2, 0.2, 0.4, 4)
    device = DevicePlan(1, "device-01", "north", 0)

    def split_of(count: int) -> dict[str, str]:
        source = as_source("own01", images[:count], np.zeros(count, np.int64), set())
        rows = pd.concat(_own_rows(source, device, plan))
        return dict(zip(rows.sha256, rows.split, strict=True))

    few, many = split_of(30), split_of(60)
    assert few.items() <= many.items()
    assert len(many) == 60
    assert set(many.values()) == {"train", "val", "test"}
    known = as_source("own01", images, np.zeros(60, np.int64), set(few))
    assert len(known.usable) == 30


def test_labels_and_brightness_that_moved_are_drift(finished: Path, tmp_path: Path) -> None:
    from tasks.data import drift
    from tasks.data.samples import PARTITION
    from tasks.device.drifted import describe
    from tasks.run.store import put_tensors, read_tensors

    place = finished / PARTITION
    limits, classes = drift.Thresholds(0.05, 0.1), list("0123456789")
    here, there = samples_ref("device-00", place), samples_ref("device-01", place)
    facts = describe("device-00", here, 10)
    assert sum(facts.labels) == pytest.approx(1)
    assert drift.check(here, facts, classes, limits, tmp_path / "a") == {}
    moved = drift.check(there, facts, classes, limits, tmp_path / "b")
    assert moved["label"] > 0.05
    tensors, _ = read_tensors(here)
    dark = {k: v // 4 if k.endswith("images") else v for k, v in tensors.items()}
    assert set(
        drift.check(put_tensors(tmp_path, "x", dark), facts, classes, limits, tmp_path / "c")
    ) == {"brightness"}
    wrong = {k: v.clone().fill_(77) if k == "val_labels" else v for k, v in tensors.items()}
    with pytest.raises(ValidationError, match="every label is a known class"):
        drift.check(put_tensors(tmp_path, "y", wrong), facts, classes, limits, tmp_path / "d")
    assert (tmp_path / "d/data_docs/index.html").exists()


def test_chance_alone_is_seldom_drift() -> None:
    from tasks.data.histograms import by_chance

    rng, shares = np.random.default_rng(0), np.full(10, 0.1)
    counts = rng.multinomial(200, shares, size=2000) / 200
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = np.nansum(counts * np.log(counts / shares), 1)
    assert 0.97 < (moved < by_chance(10, 200)).mean() < 1
