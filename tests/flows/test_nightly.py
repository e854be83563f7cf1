"""One device's data change, are accepted, and lead to a challenger for it and for nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from tasks.data import pin
from tasks.data.samples import samples_ref
from tasks.run.errors import LinkError, StageError
from tasks.settings.fields import read_yaml, yaml_text
from tests.tiny import ROOT, bring

PARTITION = Path("artifacts/partition")


@pytest.fixture(scope="module")
def project(working: Path, prefect_home: None) -> Iterator[Path]:
    """A finished project with its partition stage, and the current folder."""
    stage = read_yaml(ROOT / "dvc.yaml")["stages"]["partition"]
    stage["deps"] = ["data.sha256"]  # the code is not below this project
    (working / "dvc.yaml").write_text(yaml_text({"stages": {"partition": stage}}))
    results = {PREFECT_LOCAL_STORAGE_PATH: working / "artifacts/work/results"}
    with pytest.MonkeyPatch.context() as patch, temporary_settings(results):
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield working


def versions(root: Path) -> dict[str, int]:
    from tasks.tracking.store import connect

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
    names = ("device-00", "device-02", "device-03", "cloud")
    others = {n: samples_ref(n, PARTITION).sha256 for n in names}
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
    assert {n: samples_ref(n, PARTITION).sha256 for n in others} == others
    assert trained == {1}  # no peer trained again
    assert versions(project) == {**before, "acme-device-01": before["acme-device-01"] + 1}
    ledger = pd.read_parquet("artifacts/nightly/device-01/ledger.parquet")
    assert set(ledger.sender) | set(ledger.receiver) == {"device-01", "north"}

    version = newest("acme-device-01", project)
    assert version.tags["samples_sha256"] == samples_ref("device-01", PARTITION).sha256
    assert version.tags["acme.reason"]
    assert {version.tags["header_run"], version.tags["backbone_run"]}

    again = {f.device: f.status for f in check_devices(refine_by=None)}
    assert set(again.values()) == {"unchanged"}
    assert versions(project)["acme-device-01"] == before["acme-device-01"] + 1


def test_a_device_that_cannot_be_refined_stops_no_other(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import nightly

    refined = []

    def refine_one(case: Any, job: Any, at: int, device: Any) -> None:
        if device.name == "device-00":
            raise LinkError("its message is damaged")
        refined.append(device.name)

    monkeypatch.setattr(nightly, "refine_one", refine_one)
    with pytest.raises(StageError, match=r"not refined: device-00: its message is damaged"):
        nightly.refine_devices(["0", "2"], promotion=False)
    assert refined == ["device-02"]


def count_trainings(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """A set that gets the number of devices of every training from now on."""
    from tasks.device import rounds

    seen: set[int] = set()
    original = rounds.fit_devices

    def counted(headers: Any, *args: Any, **options: Any) -> Any:
        seen.add(len(headers))
        return original(headers, *args, **options)

    monkeypatch.setattr(rounds, "fit_devices", counted)
    return seen


def newest(name: str, root: Path) -> Any:
    from tasks.tracking.store import connect

    found = connect(root).search_model_versions(f"name = '{name}'")
    return max(found, key=lambda v: int(v.version))
