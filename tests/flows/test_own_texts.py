"""A user's own texts, from their CSV to the end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tasks.settings.fields import yaml_text
from tests.encoders import tiny_encoder
from tests.flows.test_own_fleets import acme, made_small
from tests.texts import write_texts

pytestmark = pytest.mark.slow
Run = Callable[..., None]
STAGES = ("partition", "backbone", "customize", "evaluate")


def test_texts_of_a_csv_run_with_the_settings_that_init_writes(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    listed = write_texts(Path("data"))
    tiny_encoder(Path("model"), listed["text"])
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], check=True)
    acme("init", "--model", "model", "--yes")
    acme("check")
    acme("data", "pin")
    assert "data/encoder/" not in Path("data.sha256").read_text()
    assert " encoder/model.safetensors" in Path("data.sha256").read_text()
    Path("params.yaml").write_text(yaml_text(made_small(tmp_path)))
    run(tmp_path, *STAGES)
    manifest = pd.read_parquet("artifacts/partition/manifest.parquet")
    devices = manifest[manifest.tier == "device"]
    assert (devices.groupby("owner").size() == listed.groupby("device").size()).all()
    words = json.loads(Path("artifacts/partition/words.json").read_text())
    assert set(words) == set(devices.owner)
