"""A tiny project on real data: scikit-learn's bundled digits as a folder of class folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from prefect.testing.utilities import prefect_test_harness

from tasks.experiments.second import write_digits

ROOT = Path(__file__).parents[2]


def tiny_params() -> dict[str, Any]:
    """The shipped settings, made small: 2 edges with 2 devices each, digits of 8 x 8 pixels."""
    params: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["threads"] = 1
    params["data"] |= {"source": "image-folder", "image_size": 8, "test_fraction": 0.3}
    params["partition"] |= {
        "public_train": 500,
        "public_val": 100,
        "public_test": 100,
        "samples_per_device": 100,
        "slots": 4,
    }
    params["backbone"] |= {"widths": [0.5, 1.0], "depths": [1, 2], "importance_samples": 64}
    params["backbone"]["reference"] |= {"patch_size": 2, "dim": 16, "depth": 2, "heads": 2}
    params["backbone"]["training"] |= {"epochs": 6}
    params["backbone"]["distillation"] |= {"width_steps": 5, "depth_steps": 25}
    params["matching"]["header_budget"] = 4000
    params["edge"] |= {
        "public_features": 200,
        "channels": 6,
        "hidden": 16,
        "epochs": 2,
        "weight_steps": 5,
        "controller_steps": 3,
        "finalists": 1,
        "retrain_steps": 40,
        "fixed": ["mlp", "cnn-project"],
    }
    params["refinement"] |= {"rounds": 2, "steps": 20, "tuning_steps": 10, "batch_size": 16}
    params["fleet"] = [
        {"edge": "north", "devices": [_device(0, 7500), _device(1, 8500)]},
        {"edge": "south", "devices": [_device(2, 9500), _device(3, 9800)]},
    ]
    return params


def _device(number: int, limit: int) -> dict[str, Any]:
    return {
        "id": number,
        "group": number % 2,
        "storage_limit": limit,
        "gpu_capacity_watt": 5 + number,
        "base_latency_s": 1.0,
    }


@pytest.fixture(scope="session")
def prefect_home() -> Iterator[None]:
    """One Prefect server for all tests that run flows."""
    os.environ["PREFECT_LOGGING_LEVEL"] = "CRITICAL"
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def pinned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git and DVC repository with the tiny settings and pinned data; copy before use."""
    root = tmp_path_factory.mktemp("pinned")
    write_digits(root / "data")
    (root / "params.yaml").write_text(yaml.safe_dump(tiny_params(), sort_keys=False))
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "data"], cwd=root, check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        from tasks.data import pin

        pin.write_checksums(Path("data"), Path("data.sha256"))
    return root


def run_stages(root: Path, *stages: str) -> None:
    """Run stages in ``root`` as ``acme stage`` does, in this process."""
    from flows.run import stage_flow
    from tasks.settings import load

    settings = load(root / "params.yaml")
    results = {PREFECT_LOCAL_STORAGE_PATH: root / "artifacts/work/results"}
    with pytest.MonkeyPatch.context() as patch, temporary_settings(results):
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for stage in stages:
            stage_flow(stage)(settings)


def promote_all(root: Path) -> None:
    """`acme promote` in ``root``."""
    from flows.promotion import promote_fleet

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        promote_fleet(Path("params.yaml"), ())


@pytest.fixture(scope="session")
def run(prefect_home: None) -> Callable[..., None]:
    """:func:`run_stages`, with a Prefect server to run on."""
    return run_stages


@pytest.fixture(scope="session")
def finished(pinned: Path, prefect_home: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the whole pipeline has run once; do not change it."""
    root = tmp_path_factory.mktemp("finished") / "project"
    shutil.copytree(pinned, root)
    run_stages(root, "partition", "backbone", "customize", "evaluate")
    promote_all(root)
    return root
