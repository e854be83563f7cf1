"""Settings that can be run: files that they name are there, and DVC knows them.

DVC sees the name of a file in the settings, not its content: each must be a dependency of the
stages that read it, or a changed file would leave them as they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from os.path import normpath
from pathlib import Path
from typing import Any

from tasks.run.errors import SettingsError
from tasks.run.stages import PIPELINE, is_pipelines
from tasks.settings.fields import read_yaml
from tasks.settings.names import require_known
from tasks.settings.params import Settings, load

EXPERIMENTS = Path("evaluation/dvc.yaml")
LISTS = ("deps", "outs", "metrics", "plots")
READERS = {
    "fleet": ("partition", "backbone", "customize", "evaluate", "experiment"),
    "checkpoint": ("backbone", "experiment"),
}
"""The stages that read a named file, of :data:`PIPELINE` and (the last) of :data:`EXPERIMENTS`."""


def checked(params: Path) -> Settings:
    """The settings of a file that can be run.

    Raises:
        SettingsError: they are impossible, a choice or a file that they name does not exist, or a
            stage that reads the file does not depend on it.
    """
    settings = load(params)
    require_known(settings, params)
    checkpoint = settings.backbone.reference.checkpoint
    if checkpoint is not None and not checkpoint.is_file():
        raise SettingsError(f"{params}: backbone.reference.checkpoint: no file {checkpoint}")
    if is_pipelines(params):
        require_declared(params)
    return settings


def require_declared(params: Path) -> None:
    """Raises SettingsError if stages do not depend on a file that their settings name."""
    for what, file in named_files(read_yaml(params)):
        places = {normpath(place) for place in (Path(file), *Path(file).parents)}
        missing = [
            f"{stage} in {pipeline}"
            for pipeline in (p for p in (PIPELINE, EXPERIMENTS) if p.exists())
            for stage, declared in stages_of(pipeline).items()
            if stage in READERS[what]
            and not places & {normpath(pipeline.parent / d) for d in paths(declared, "deps")}
        ]
        if missing:
            raise SettingsError(
                f"{params} names {file}, which DVC does not know as a dependency of "
                f"{', '.join(missing)}: add it to their deps, or a change of it would go unseen"
            )


def named_files(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The files that (valid) settings name, each after what it is: see :data:`READERS`."""
    found = [("fleet", values["fleet"])] if isinstance(values["fleet"], str) else []
    checkpoint = values["backbone"]["reference"].get("checkpoint")
    return [*found, ("checkpoint", checkpoint)] if checkpoint else found


def stages_of(pipeline: Path) -> dict[str, Mapping[str, Any]]:
    """The stages of a dvc.yaml by name.

    Raises:
        SettingsError: the file is not YAML, or holds no stages as DVC reads them.
    """
    content = read_yaml(pipeline)
    stages = content.get("stages") if isinstance(content, Mapping) else None
    if not isinstance(stages, Mapping):
        raise SettingsError(
            f"{pipeline}: no `stages:` by name. Restore it: git checkout {pipeline}"
        )
    for name, stage in stages.items():
        listed = [stage.get(kind) or [] for kind in LISTS] if isinstance(stage, Mapping) else [None]
        if not all(isinstance(part, list) for part in listed):
            raise SettingsError(f"{pipeline}: stage {name}: expected a mapping with lists of files")
    return {str(name): stage for name, stage in stages.items()}


def paths(stage: Mapping[str, Any], *kinds: str) -> list[str]:
    """The files and folders that a stage lists; one with options is a mapping of its path."""
    listed = [item for kind in kinds for item in stage.get(kind) or []]
    return [str(next(iter(item)) if isinstance(item, Mapping) else item) for item in listed]
