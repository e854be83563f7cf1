"""Devices that see the world through sensors of their own, from the raw data to the report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models.sensors import seen
from tasks.data.dataset import Wanted
from tasks.data.modality import from_json
from tasks.data.partitioning import divide
from tasks.data.samples import read_world, with_spare
from tasks.data.sources import load
from tasks.run.errors import ArtifactError
from tasks.run.store import read_tensors
from tasks.settings.fields import yaml_text
from tasks.settings.params import Settings, merged
from tests.tiny import tiny_params

SENSORS = ["upright", "rotated", "inverted-noisy"]
Run = Callable[..., None]


def params_with_sensors() -> dict[str, Any]:
    overlay = {"data": {"sensors": SENSORS}, "partition": {"public_contexts": ["upright"]}}
    return merged(tiny_params(), overlay)


def test_each_owner_s_samples_are_as_its_sensor_sees_them(
    pinned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pinned)
    settings, out = Settings.model_validate(params_with_sensors()), tmp_path / "partition"
    divide(settings, "content", out, tmp_path / "validation")
    contexts = json.loads((out / "contexts.json").read_text())
    groups = {d.name: SENSORS[1 + d.group] for d in settings.devices}
    assert contexts == {
        "names": SENSORS,
        "public": ["upright"],
        "devices": groups,
        "synthetic": True,
    }
    data = load("image-folder", Path("data"), Wanted(8, 1, settings.seed, 0.3))
    raw = {"train": data.train_samples, "test": data.test_samples}
    manifest = pd.read_parquet(out / "manifest.parquet")
    for owner, sensor in {"cloud": "upright", **groups}.items():
        tensors, _ = read_tensors(out / f"samples/{owner}.safetensors")
        rows = manifest[(manifest["owner"] == owner) & (manifest["split"] == "test")]
        at = rows["sample_id"].str.rpartition("-")[2].astype(int).to_numpy()
        expected = seen(raw["test"][at], rows["sha256"].tolist(), sensor)
        assert (tensors["test_images"].numpy() == expected).all()
        assert set(rows["context"]) == {sensor}
    info = from_json(json.loads((out / "data.json").read_text()), "data.json")
    assert info.synthetic_contexts
    spare = with_spare(read_world(out, groups), out)
    assert spare.contexts == groups
    assert set(spare.unused) == set(groups)
    (out / "unused/1.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"unused/1\.safetensors"):
        with_spare(spare, out)
    public = read_tensors(out / "samples/cloud.safetensors")[0]["train_images"].numpy()
    assert np.allclose(public.mean() / 255, info.mean)  # type: ignore[attr-defined]


def test_a_context_that_lacks_classes_passes_the_check_and_is_dealt(
    pinned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.setup.check import check

    monkeypatch.chdir(tmp_path)
    for place in (pinned / "data").iterdir():
        for at, path in enumerate(sorted(place.glob("*.png"))):
            context = "night" if at % 2 and place.name in "456789" else "day"
            folder = tmp_path / "data" / context / place.name
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder)
    overlay = {"data": {"context_folders": True}, "partition": {"public_contexts": ["day"]}}
    Path("params.yaml").write_text(yaml_text(merged(tiny_params(), overlay)))
    settings = check(Path("params.yaml")).settings
    divide(settings, "content", tmp_path / "out", tmp_path / "report")
    manifest = pd.read_parquet(tmp_path / "out/manifest.parquet")
    devices = manifest[manifest["tier"] == "device"]
    assert set(devices["context"]) == {"night"}
    assert devices.groupby("owner")["label"].agg(set).map(len).eq(3).all(), "half of six"
    assert set(devices["label"]) <= set(range(4, 10))


@pytest.mark.slow
def test_a_whole_run_tells_every_device_s_context(
    pinned: Path, tmp_path: Path, run: Run, page: Any, screenshots: Path
) -> None:
    from tasks.tracking.store import connect

    root = tmp_path / "project"
    shutil.copytree(pinned, root)
    (root / "params.yaml").write_text(yaml_text(params_with_sensors()))
    run(root, "partition", "backbone", "customize", "evaluate")
    summary = json.loads((root / "artifacts/summary.json").read_text())
    told = {d["device"]: d["context"] for d in summary["devices"]}
    assert told == summary["contexts"]["devices"]
    page.goto((root / "artifacts/report.html").as_uri())
    for column in ("context", "ceiling", "reference, own classes", "plain CNN, own classes"):
        assert page.get_by_role("columnheader", name=column, exact=True).is_visible(), column
    for words in (
        "Contexts: the cloud's data are upright; the devices' are as the table says. They are "
        "synthetic",
        "learned from public data and from what devices consented to share",
        "what the reference reaches on the same data, told each device's classes",
        "what there would be without ACME: a plain CNN of",
        "tuned for 10 steps on many more samples of the device's context and classes",
    ):
        assert page.get_by_text(words).first.is_visible(), words
    for device, context in told.items():
        row = page.locator("#fleet tr").filter(has=page.get_by_role("link", name=device))
        assert row.get_by_role("cell", name=context, exact=True).is_visible()
    page.screenshot(path=screenshots / "report-contexts.png", full_page=True)
    version = connect(root).get_model_version_by_alias("acme-device-01", "challenger")
    assert version.tags["context"] == "inverted-noisy"
    assert "inverted-noisy (synthetic" in version.description


@pytest.mark.slow
def test_a_whole_run_tells_what_devices_only_expect(
    pinned: Path, tmp_path: Path, run: Run, page: Any, screenshots: Path
) -> None:
    from tasks.tracking.store import connect

    root, params = tmp_path / "project", params_with_sensors()
    params["partition"]["unseen_classes"] = 1
    for cluster, group in zip(params["fleet"], (0, 1), strict=True):  # alike, so of one context
        for device in cluster["devices"]:
            device["group"] = group
    shutil.copytree(pinned, root)
    (root / "params.yaml").write_text(yaml_text(params))
    run(root, "partition", "backbone", "customize", "evaluate")
    summary = json.loads((root / "artifacts/summary.json").read_text())
    page.goto((root / "artifacts/report.html").as_uri())
    at = [head.strip() for head in page.locator("#fleet th").all_inner_texts()].index("wanted")
    for device in summary["devices"]:
        [name] = device["wanted"]
        assert device["answers"] == "wanted"
        met = device["confusion"][name]
        assert device["wanted_test_samples"] == sum(met.values()) > 0
        assert device["accuracy_refined_wanted"] == met.get(name, 0) / sum(met.values())
        folder = root / f"artifacts/models/{device['device']}"
        answers = json.loads((folder / "config.json").read_text())["answers"]
        assert sorted(answers) == sorted({*device["confusion"]})
        row = page.locator("#fleet tr").filter(has=page.get_by_role("link", name=device["device"]))
        assert row.locator("td").nth(at).inner_text() == name
        version = connect(root).get_model_version_by_alias(f"acme-{device['device']}", "challenger")
        assert f"| classes that it only expects, without a sample of them | {name} |" in (
            version.description
        )
    assert "accuracy_received_wanted_mean" in summary["fleet"]
    page.screenshot(path=screenshots / "report-wanted.png", full_page=True)
