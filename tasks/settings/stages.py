"""The stages of every case's dvc.yaml, and the command that runs one. (Without Prefect, which reads
its environment when it is imported.)"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from tasks.settings.case import Case


@dataclass(frozen=True)
class Stage:
    """A stage; its flow is that of its name in the module of its name, ``flows.<name>``.

    Attributes:
        tier: the work queue that its deployment is on.
        files: what it reads of the files that settings may name
            (:func:`tasks.settings.declared.named_files`).
    """

    tier: str
    files: tuple[str, ...] = ("fleet",)


STAGES = {
    "partition": Stage("cloud"),
    "backbone": Stage("cloud", ("fleet", "checkpoint")),
    "customize": Stage("edge"),
    "evaluate": Stage("cloud"),
}
"""In the order in which they run."""


ACME = (sys.executable, "-m", "flows.command.cli")
"""The `acme` command, of the environment that this process runs in."""


def stage_command(stage: str, params: Path, again: bool = False) -> list[str]:
    """The command that brings a stage of the case here up to date. DVC reads one settings file, so
    a stage with others is run without it; Prefect's cache still reuses what is the same."""
    if Case.here().reads(params):
        how = ["--force", "--single-item"] if again else []
        return [sys.executable, "-m", "dvc", "repro", *how, stage]
    return [*ACME, "stage", stage, "--params", str(params)]
