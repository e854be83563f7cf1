"""The case of texts as anybody gets it: real weights, real texts, its own settings."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from models.statistics import SURE, by_chance
from tasks.settings.stages import ACME
from tests.tiny import copy_project

pytestmark = pytest.mark.slow
TEXT = ("--case", "text")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which the case of texts has run, and nothing else."""
    root = tmp_path_factory.mktemp("text") / "project"
    copy_project(root)
    me = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for git in (["init", "-q"], ["add", "-A"], [*me, "commit", "-qm", "clone"]):
        subprocess.run(["git", *git], cwd=root, check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(root))
        for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
            patch.delenv(name, raising=False)
        call(root, *TEXT, "init", "--source", "package-descriptions", "--yes")
        try:
            call(root, *TEXT, "data", "fetch")
        except subprocess.CalledProcessError as error:
            said = error.stderr.strip().splitlines()[-1]
            if "cannot fetch" in said and "Tried" in said:  # no archive, or no hub and no registry
                pytest.skip(said)
            raise
        call(root, *TEXT, "data", "pin")
        call(root, *TEXT, "run")
    return root


def call(folder: Path, *words: str) -> str:
    done = subprocess.run([*ACME, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def devices(project: Path) -> list[dict[str, Any]]:
    found = json.loads((project / "cases/text/artifacts/summary.json").read_text())["devices"]
    assert len(found) == 12
    return found


def test_italian_and_japanese_gain_and_no_language_loses(devices: list[dict[str, Any]]) -> None:
    gained, turned = defaultdict(list), defaultdict(lambda: [0, 0])
    for device in devices:
        gain = device["accuracy_refined"] - device["accuracy_received_own_classes"]
        gained[device["context"]].append(gain)
        for at, name in enumerate(("won", "lost")):
            turned[device["context"]][at] += device[name]
    assert set(gained) == {"de", "fr", "it", "ja"}
    assert mean(gained["it"] + gained["ja"]) >= 0.08
    # of one run a language's gain is known to some 2 points (567 texts); `acme evaluate --only
    # languages` judges its mean over seeds
    for language, (won, lost) in turned.items():
        assert by_chance(won, lost) > SURE, language


def test_every_device_is_within_its_limit(devices: list[dict[str, Any]]) -> None:
    for device in devices:
        assert 0 < device["params"] <= device["storage_limit"], device["device"]


def test_nothing_is_left_to_do(project: Path) -> None:
    said = call(project, *TEXT, "run")
    assert "All stages are up to date." in said
    changed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=project, capture_output=True, text=True, check=True
    )
    assert changed.stdout == "?? cases/\n"
