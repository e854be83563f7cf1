"""Settings and data for tests: everything real, but small."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tasks.settings.fields import read_yaml, yaml_text

ROOT = Path(__file__).parents[1]


def tiny_params() -> dict[str, Any]:
    """The shipped settings, made small: 2 edges with 2 devices each, digits of 8 x 8 pixels, all of
    one context, a plain reference."""
    params: dict[str, Any] = read_yaml(ROOT / "params.yaml")
    params["threads"] = 1
    params["data"] |= {"source": "image-folder", "image_size": 8, "test_fraction": 0.3}
    params["data"]["sensors"] = []
    params["partition"] |= {
        "public_train": 500,
        "public_val": 100,
        "public_test": 100,
        "samples_per_device": 100,
        "slots": 5,
        "public_contexts": None,
        "ceiling_samples": 60,
    }
    params["backbone"] |= {"widths": [0.5, 1.0], "depths": [1, 2], "importance_samples": 64}
    params["backbone"]["reference"] |= {"patch_size": 2, "dim": 16, "depth": 2, "heads": 2}
    params["backbone"]["reference"] |= {"stem": None, "initialisation": "timm"}
    params["backbone"]["training"] |= {"epochs": 6, "steps": None, "patience": None}
    params["backbone"]["at_chance"] = "warn"
    params["backbone"]["cnn"] |= {"epochs": 2, "steps": None, "patience": None}
    params["backbone"]["distillation"] |= {"width_steps": 5, "depth_steps": 25}
    params["matching"] |= {"header_budget": 4000, "performance_window": 0.1}
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
    params["refinement"] |= {"lr": 5.0e-4, "ceiling_steps": 10}
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


def copy_project(root: Path) -> None:
    """Copy this project's files, as git would commit them, to ``root``; no stage of it has run."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in (n for n in listed.stdout.splitlines() if (ROOT / n).is_file()):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, root / name, follow_symlinks=False)
    (root / "dvc.lock").unlink(missing_ok=True)


def clone(root: Path) -> None:
    """Make ``root`` a git repository with this project's files and tiny settings, all committed;
    its data are the digits, not pinned yet."""
    from tasks.experiments.second import write_digits

    copy_project(root)
    write_digits(root / "data")
    (root / "params.yaml").write_text(yaml_text(tiny_params()))
    me = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for words in (["init", "-q"], ["add", "-A"], [*me, "commit", "-qm", "tiny"]):
        subprocess.run(["git", *words], cwd=root, check=True)


def bring(root: Path, device: str, source: str, label: str, count: int) -> None:
    """Images of class ``source``, made darker, become the device's own of class ``label``."""
    folder = root / "data/devices" / device / label
    folder.mkdir(parents=True)
    for path in sorted((root / "data" / source).glob("*.png"))[:count]:
        pixels = np.asarray(Image.open(path)).astype(np.float32) * 0.9
        Image.fromarray(pixels.astype(np.uint8)).save(folder / path.name)
