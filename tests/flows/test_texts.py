"""Texts through all stages: an encoder is cut, headers are
searched over tokens, sizes count the words that devices keep."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.backbone.config import config_from
from tasks.links.records import Match
from tasks.report.outputs import (
    read_backbone,
    read_matches,
    read_reference,
    read_rounds,
    read_searches,
    read_variants,
)
from tasks.run.files import read_json
from tasks.run.store import read_tensors
from tasks.settings.case import Case
from tasks.settings.fields import yaml_text
from tests.encoders import tiny_encoder
from tests.texts import text_params, write_texts

pytestmark = pytest.mark.slow
LIMITS = (32_000, 36_000, 50_000, 70_000)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, run: Callable[..., None]) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("texts")
    listed = write_texts(root / "data")
    tiny_encoder(root / "data" / "encoder", listed["text"])
    params = text_params()
    params["backbone"]["training"] |= {"layers": 0, "steps": 300}
    params["backbone"] |= {"refit_samples": 80, "depths": [1, 2, 3]}
    params["backbone"]["distillation"] |= {"pooled_weight": 1.0, "batch_size": 16}
    params["edge"]["fixed"] = ["linear", "mean-pool", "cnn-add"]
    devices = [device for edge in params["fleet"] for device in edge["devices"]]
    for device, limit in zip(devices, LIMITS, strict=True):
        device["storage_limit"] = limit
    (root / "params.yaml").write_text(yaml_text(params))
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "data"], cwd=root, check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        from tasks.data import pin

        pin.write_checksums(Path("data"), Path("data.sha256"))
        run(root, "partition", "backbone", "customize", "evaluate")
        yield root


def test_the_encoder_is_the_reference_and_its_header_alone_learned(root: Path) -> None:
    known = read_reference(Case(root).backbone)
    assert known.made is not None
    assert "the encoder tiny, from given weights and a fresh header, its header alone" in known.made
    assert known.cnn is None
    assert known.no_layer_accuracy is not None
    assert all(v.refit_accuracy is not None for v in read_variants(Case(root).backbone))


def test_sizes_count_the_words_that_devices_keep(root: Path) -> None:
    case, words = Case(root), read_json(root / "artifacts/partition/words.json")
    edges: list[Match] = read_matches(case.backbone)
    assert [m.vocabulary for m in edges] == [
        max(words[f"device-0{i}"] for i in pair) for pair in ((0, 1), (2, 3))
    ]
    for found, search in zip(edges, read_searches(case.customize), strict=True):
        assert found.parameters is not None
        assert found.parameters[found.chosen] + 4000 <= found.limit
        config = config_from(read_tensors(read_backbone(case.customize, found.edge))[1])
        saved = (config.vocabulary - found.vocabulary) * 32  # type: ignore[attr-defined]
        whole = read_variants(case.backbone)[found.chosen].parameters
        assert whole - found.parameters[found.chosen] == saved > 0
        assert search.budget_parameters == found.limit - found.parameters[found.chosen]
        assert {h.kind for h in search.headers} == {"searched", "linear", "mean-pool", "cnn-add"}
        assert all(h.parameters <= search.budget_parameters for h in search.headers)


def test_what_ships_is_within_each_device_s_limit_and_the_report_shows_variants(
    root: Path,
) -> None:
    summary = read_json(Case(root).summary)
    for device, limit in zip(summary["devices"], LIMITS, strict=True):
        assert device["params"] <= limit == device["storage_limit"]
    assert summary["reference"]["no_layer_accuracy"] is not None
    page = Case(root).report.read_text()
    assert "What variants know" in page
    assert "without any layer, reaches" in page


def test_devices_refine_what_they_received(root: Path) -> None:
    """Which has a mask in all its features."""
    states = read_rounds(Case(root).customize)
    for device in (f"device-0{i}" for i in range(4)):
        own = [state for state in states if state.device == device]
        assert [state.round for state in own] == [0, 1, 2][: len(own)]
        assert len(own) >= 2
        assert own[-1].neurons < own[0].neurons or own[0].neurons_received == 0
