"""Settings and data of texts for tests: a manifest of made-up sentences, and a tiny encoder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.settings.fields import yaml_text
from tests.encoders import tiny_encoder
from tests.texts import LANGUAGES, text_params, texts, write_texts

LENGTH = 12


def tiny_text_params() -> dict[str, Any]:
    """The tiny settings of texts: 2 edges of 2 devices, a German and an Italian one each, which
    bring their own texts; the cloud has English and German."""
    params = text_params()
    params["data"] |= {"encoder": "encoder", "length": LENGTH}
    params["partition"] |= {"public_train": 240, "public_val": 60, "public_test": 60}
    params["backbone"]["training"] |= {"layers": 0, "epochs": 20, "lr": 1.0e-2}
    params["backbone"]["refit_samples"] = 100
    params["backbone"] |= {"widths": [0.5, 1.0], "depths": [2, 3]}
    params["edge"]["fixed"] = ["mlp", "mean-pool"]
    for cluster in params["fleet"]:
        for device in cluster["devices"]:
            device["storage_limit"] *= 5
    return params


def text_project(root: Path) -> None:
    """Make ``root`` a git and DVC repository with these settings and pinned data."""
    (root / "data").mkdir(parents=True)
    write_texts(root / "data", ("en", "de"), ("de", "it", "de", "it"), (60, 30))
    known = texts(tuple(name for name in LANGUAGES if name != "it"))["text"]
    tiny_encoder(root / "data/encoder", known)
    (root / "params.yaml").write_text(yaml_text(tiny_text_params()))
    for words in (["git", "init", "-q", "."], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(words, cwd=root, check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        from tasks.data import pin

        pin.pin(Path("data"), Path("data.dvc"))
