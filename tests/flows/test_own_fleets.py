"""Own data and own fleets run to the end: many classes of few images, devices that live on their
own images, a manifest that says whose each is, one device, and two hundred."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.settings.fields import read_yaml, yaml_text
from tasks.tracking.store import connect
from tests.glyphs import write_glyphs
from tests.listing import write_listing
from tests.tiny import bring, tiny_params

pytestmark = pytest.mark.slow
STAGES = ("partition", "backbone", "customize", "evaluate")
Run = Callable[..., None]


def pinned_project(root: Path, params: dict[str, Any]) -> Path:
    """A git and DVC repository with these settings; its data are there, and pinned."""
    from tasks.data import pin

    (root / "params.yaml").write_text(yaml_text(params))
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    for words in (["init"], ["add", "data"]):
        subprocess.run([sys.executable, "-m", "dvc", *words, "-q"], cwd=root, check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        pin.write_checksums(Path("data"), Path("data.sha256"))
    return root


def summary_of(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "artifacts/summary.json").read_text())
    return content


def made_small(root: Path) -> dict[str, Any]:
    """The settings that `acme init` wrote, with as little training as may be."""
    params, small = read_yaml(root / "params.yaml"), tiny_params()
    params["threads"] = 1
    for name in ("training", "cnn"):
        params["backbone"][name] |= {"epochs": 1, "steps": 2}
    params["backbone"]["at_chance"] = "warn"
    params["backbone"]["distillation"] = small["backbone"]["distillation"]
    for name in ("epochs", "weight_steps", "controller_steps", "finalists", "retrain_steps"):
        params["edge"][name] = small["edge"][name]
    params["edge"]["fixed"] = ["mlp"]
    return params


def fleet(devices: int, edges: int) -> list[dict[str, Any]]:
    ids = np.array_split(np.arange(devices), edges)
    facts = {"gpu_capacity_watt": 5, "base_latency_s": 1.0}
    return [
        {
            "edge": f"edge-{at}",
            "devices": [
                {"id": int(i), "group": int(i) % 4, "storage_limit": 9000 + int(i), **facts}
                for i in part
            ],
        }
        for at, part in enumerate(ids)
    ]


def test_sixty_classes_of_few_images_and_six_devices(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from flows.command.table import print_fleet

    root = tmp_path / "letters"
    write_glyphs(root / "data", np.random.default_rng(0).integers(24, 41, 60).tolist())
    monkeypatch.chdir(root)
    words = ["init", "--source", "image-folder", "--data", "data", "--devices", "6", "--yes"]
    acme(*words)
    params = made_small(root)
    assert params["partition"]["slots"] is None
    run(pinned_project(root, params), *STAGES)
    summary = summary_of(root)
    assert len(summary["devices"]) == 6
    manifest = pd.read_parquet(root / "artifacts/partition/manifest.parquet")
    train = manifest[(manifest.tier == "device") & (manifest.split == "train")]
    assert (train.groupby("owner").label.nunique() == 30).all()
    assert (root / "artifacts/report.html").exists()
    said = "the reference model is not shown to be better than chance"
    assert summary["reference"]["warning"].startswith(said)
    assert f"Warning: {said}" in capfd.readouterr().err
    print_fleet(root / "artifacts/summary.json")
    assert f"Warning: {said}" in capfd.readouterr().out


def test_devices_that_live_on_their_own_images(pinned: Path, tmp_path: Path, run: Run) -> None:
    root = tmp_path / "own"
    shutil.copytree(pinned / "data", root / "data")
    params = tiny_params()
    params["partition"] |= {"samples_per_device": 0}
    for device in range(4):
        for label in (2 * device, 2 * device + 1):  # of the second, few
            bring(root, f"device-0{device}", str(label), str(label), 2 if label % 2 else 12)
    run(pinned_project(root, params), *STAGES)
    summary = summary_of(root)
    assert summary["link"]["shared_bytes"] == 0
    assert [d["device"] for d in summary["devices"]] == [f"device-0{i}" for i in range(4)]
    manifest = pd.read_parquet(root / "artifacts/partition/manifest.parquet")
    assert set(manifest.tier) == {"cloud", "device"}
    own = manifest[manifest.tier == "device"]
    assert own.sample_id.str.startswith("own").all()
    train = own[own.split == "train"].groupby("owner").label.agg(set).to_dict()
    assert train == {f"device-0{i}": {2 * i, 2 * i + 1} for i in range(4)}
    refined_alone(root)


def refined_alone(root: Path) -> None:
    """The nightly refinement of one device works without shared samples too."""
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    from flows.nightly import refine_devices
    from tests.conftest import promote_all

    promote_all(root)
    results = {PREFECT_LOCAL_STORAGE_PATH: root / "artifacts/work/results"}
    with pytest.MonkeyPatch.context() as patch, temporary_settings(results):
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        refine_devices(["device-01"])
    assert (root / "artifacts/nightly/device-01/model.safetensors").exists()


def acme(*words: str) -> str:
    from click.testing import CliRunner

    from flows.command import cli

    done = CliRunner().invoke(cli.cli, words)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize(("name", "owned"), [("manifest.csv", True), ("manifest.parquet", False)])
def test_a_manifest_of_the_user_s(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, name: str, owned: bool
) -> None:
    """With devices and their contexts, the partition is the user's own; without devices, it is
    dealt, a context apart."""
    root = tmp_path / "listed"
    listed = write_listing(root / "data")
    listed["label"] = "digit " + listed["label"]
    if not owned:
        listed = listed.drop(columns="device")
        listed["context"] = np.where(np.arange(len(listed)) % 2, "day", "night")
    write = listed.to_csv if name.endswith("csv") else listed.to_parquet
    write(root / "data" / name, index=False)
    monkeypatch.chdir(root)
    assert "4 devices" in acme("init", "--yes", *([] if owned else ["--devices", "4"]))
    params = made_small(root)
    assert (params["data"]["source"], params["data"]["manifest"]) == ("manifest", name)
    assert (params["partition"]["samples_per_device"] == 0) == owned
    pinned_project(root, params)
    said = acme("check")
    assert "4 devices, all settings valid" in said
    assert "whether 1,797 images can be read" in said
    run(root, *STAGES)
    summary = summary_of(root)
    manifest = pd.read_parquet(root / "artifacts/partition/manifest.parquet")
    own = manifest[manifest.tier == "device"]
    contexts = own.groupby("owner").context.agg(set).to_dict()
    told = {d["device"]: {d["context"]} for d in summary["devices"]}
    assert contexts == told
    assert set().union(*told.values()) == {"day", "night"}
    assert summary["contexts"]["names"] == ["day", "night"]
    assert summary["contexts"]["public"] == (["day"] if owned else ["day", "night"])
    if not owned:
        return
    assert summary["link"]["shared_bytes"] == 0
    names = "digit " + own.label.map("{:02d}".format)
    assert own.owner.groupby(own.owner).size().between(40, 45).all()
    expected = listed.dropna().groupby("device").label.agg(set).to_dict()
    assert names.groupby(own.owner).agg(set).to_dict() == expected
    refined_alone(root)


@pytest.mark.parametrize(("devices", "edges"), [(1, 1), (200, 4)])
def test_a_fleet_of_any_size(tmp_path: Path, run: Run, devices: int, edges: int) -> None:
    root = tmp_path / "fleet"
    write_glyphs(root / "data", [600] * 10, size=8)
    params = tiny_params()
    params["partition"] |= {"public_train": 600, "slots": None, "samples_per_device": 20}
    params["refinement"] |= {"rounds": 1, "steps": 2, "tuning_steps": 1, "sketch_samples": 4}
    params["fleet"] = fleet(devices, edges)
    run(pinned_project(root, params), *STAGES)
    summary = summary_of(root)
    assert len(summary["devices"]) == devices
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        models = connect(root).search_registered_models(max_results=1000)
    assert len(models) == edges + devices
    page = (root / "artifacts/report.html").read_text()
    assert f"device-{devices - 1:02d}" in page
