"""Own data and own fleets run to the end: many classes of few images, devices that live on their
own images, one device, and two hundred."""

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
    from click.testing import CliRunner

    from flows.command import cli
    from flows.command.table import print_fleet

    root = tmp_path / "letters"
    write_glyphs(root / "data", np.random.default_rng(0).integers(24, 41, 60).tolist())
    monkeypatch.chdir(root)
    words = ["init", "--source", "image-folder", "--data", "data", "--devices", "6", "--yes"]
    done = CliRunner().invoke(cli.cli, words)
    assert done.exit_code == 0, done.output
    params, small = read_yaml(root / "params.yaml"), tiny_params()
    assert params["partition"]["slots"] is None
    params["threads"] = 1
    params["backbone"]["training"]["epochs"] = 1
    params["backbone"]["at_chance"] = "warn"
    params["backbone"]["distillation"] = small["backbone"]["distillation"]
    for name in ("epochs", "weight_steps", "controller_steps", "finalists", "retrain_steps"):
        params["edge"][name] = small["edge"][name]
    params["edge"]["fixed"] = ["mlp"]
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
