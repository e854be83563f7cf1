"""Settings that can be run: files that they name are there, and DVC knows them.

DVC sees the name of a file in the settings, not its content: each must be a dependency of the
stages that read it, or a changed file would leave them as they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os.path import normpath
from pathlib import Path
from typing import Any

from tasks.run.errors import SettingsError
from tasks.run.stages import PIPELINE, is_pipelines
from tasks.settings.fields import read_yaml
from tasks.settings.params import Settings, load

EXPERIMENTS = Path("evaluation/dvc.yaml")
READERS = {
    "fleet": ("partition", "backbone", "customize", "evaluate", "experiment"),
    "checkpoint": ("backbone", "experiment"),
}
"""The stages that read a named file, of :data:`PIPELINE` and (the last) of :data:`EXPERIMENTS`."""


def checked(params: Path) -> Settings:
    """The settings of a file that can be run.

    Raises:
        SettingsError: they are impossible, a file that they name is missing, or a stage that reads
            it does not depend on it.
    """
    settings = load(params)
    checkpoint = settings.backbone.reference.checkpoint
    if checkpoint is not None and not checkpoint.is_file():
        raise SettingsError(f"{params}: backbone.reference.checkpoint: no file {checkpoint}")
    if is_pipelines(params):
        require_declared(params)
    return settings


def require_declared(params: Path) -> None:
    """Raises SettingsError if a stage does not depend on a file that its settings name."""
    named = named_files(read_yaml(params))
    for pipeline in (p for p in (PIPELINE, EXPERIMENTS) if p.exists()):
        for stage, dependencies in stages_of(pipeline).items():
            known = {normpath(pipeline.parent / d) for d in dependencies}
            for file in (file for of, file in named if stage in READERS[of]):
                if not known & {normpath(p) for p in (Path(file), *Path(file).parents)}:
                    raise SettingsError(
                        f"{params} names {file}, of which the stage {stage} in {pipeline} does not "
                        "know: add it to that stage's deps, or DVC would not see that it changed"
                    )


def named_files(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The files that (valid) settings name, each after what it is: see :data:`READERS`."""
    found = [("fleet", values["fleet"])] if isinstance(values["fleet"], str) else []
    checkpoint = values["backbone"]["reference"].get("checkpoint")
    return [*found, ("checkpoint", checkpoint)] if checkpoint else found


def stages_of(pipeline: Path) -> dict[str, list[str]]:
    """The dependencies of every stage of a dvc.yaml.

    Raises:
        SettingsError: the file is not YAML, or not a list of stages as DVC reads it.
    """
    content = read_yaml(pipeline)
    stages = content.get("stages") if isinstance(content, Mapping) else None
    if not isinstance(stages, Mapping):
        raise SettingsError(
            f"{pipeline}: no `stages:` by name. Restore it: git checkout {pipeline}"
        )
    return {str(name): list(_dependencies(pipeline, name, stage)) for name, stage in stages.items()}


def _dependencies(pipeline: Path, name: str, stage: Any) -> Iterator[str]:
    listed = (stage.get("deps") or []) if isinstance(stage, Mapping) else None
    if not isinstance(listed, list):
        raise SettingsError(f"{pipeline}: stage {name}: expected a mapping with a list of deps")
    for dependency in listed:  # one with options is a mapping of its path
        yield str(next(iter(dependency)) if isinstance(dependency, Mapping) else dependency)
