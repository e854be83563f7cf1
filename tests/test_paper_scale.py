"""The paper's own setting: what of it can be shown without its data, its weights and a GPU."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.data.partitioning import divide
from tasks.experiments.scale import load_scale, settings_of
from tasks.experiments.world import content_of
from tasks.settings.fleet import BYTES_PER_PARAMETER
from tasks.settings.params import Settings
from tests.cifar import publish, write_cifar

ROOT = Path(__file__).parents[1]


def paper(**overlay: object) -> Settings:
    return settings_of(load_scale("paper", ROOT / "evaluation"), 0, ROOT / "params.yaml", **overlay)


def test_it_is_the_paper_s_fleet_and_model() -> None:
    settings = paper()
    limits = [
        d.storage_limit * BYTES_PER_PARAMETER / 1e6 for c in settings.fleet for d in c.devices
    ]
    assert [len(c.devices) for c in settings.fleet] == [5] * 10
    assert min(limits) == 200
    assert 390 < max(limits) <= 400
    assert settings.backbone.reference.name == "vit_base_patch16_224"
    assert settings.data.source == "cifar100"


@pytest.mark.slow
def test_files_in_cifar_s_format_are_divided_as_the_scale_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, write_cifar(tmp_path, train=50_000, test=10_000, classes=100))
    # at 8 pixels instead of 224: the division is the same and fits the memory of any machine
    settings = paper(data={"folder": str(tmp_path), "image_size": 8})
    assert content_of(settings.data).endswith(".dir")
    counts = divide(settings, "content", tmp_path / "out", tmp_path / "report")
    assert counts["cloud"] == 15_000 + 2_000 + 2_000
    assert counts["device"] == 50 * 300
    assert len(list((tmp_path / "out/samples").glob("device-*.safetensors"))) == 50


@pytest.mark.slow
def test_its_model_path_runs_at_vit_b_16_s_size() -> None:
    command = [sys.executable, "benchmarks/paper_scale.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    steps = dict(re.findall(r"^(\S.*?)\s+[\d.]+ s\s+(\d+) MiB$", done.stdout, re.M))
    for words in ("importance", "slice", "score", "search", "export"):
        assert any(words in step for step in steps), done.stdout
    assert "85,875,556 parameters" in done.stdout
    assert "read back the same" in done.stdout
    assert "logits (8, 100)" in done.stdout
    assert max(map(int, steps.values())) < 8192
