"""The settings that DVC reads, its stages, and the command that runs one. (Without Prefect, which
reads its environment when it is imported.)"""

from __future__ import annotations

import sys
from os.path import abspath
from pathlib import Path

PARAMS = Path("params.yaml")
"""The settings file that the stages of :data:`PIPELINE` read."""

PIPELINE = Path("dvc.yaml")


def is_pipelines(params: Path) -> bool:
    """Whether a settings file is :data:`PARAMS` of this folder (and not what that links to: files
    that settings name lie beside them)."""
    return abspath(params) == abspath(PARAMS)


def stage_command(stage: str, params: Path, again: bool = False) -> list[str]:
    """The command that brings a stage up to date. DVC reads :data:`PARAMS` alone, so a stage with
    other settings is run without it; Prefect's cache still reuses what is the same."""
    if is_pipelines(params):
        how = ["--force", "--single-item"] if again else []
        return [sys.executable, "-m", "dvc", "repro", *how, stage]
    return [sys.executable, "-m", "flows.command.cli", "stage", stage, "--params", str(params)]
