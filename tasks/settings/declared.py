"""Settings that can be run: files that they name are there, and DVC knows them.

DVC sees the name of a file in the settings, not its content: each must be a dependency of the
stages that read it, or a changed file would leave them as they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os.path import abspath, relpath
from pathlib import Path
from typing import Any

from tasks.run.errors import SettingsError
from tasks.settings.case import Case
from tasks.settings.fields import read_yaml
from tasks.settings.names import require_known
from tasks.settings.params import Settings, load
from tasks.settings.stages import STAGES

LISTS = ("deps", "outs", "metrics", "plots")
EXPERIMENT = "experiment"
"""The one stage of a case's :attr:`~tasks.settings.case.Case.experiments`; reads everything."""


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
    if (case := Case.here()).reads(params):
        pipelines = [p for p in (case.pipeline, case.experiments) if p.exists()]
        if pipelines:
            require_declared(params, pipelines)
    return settings


def require_declared(params: Path, pipelines: Sequence[Path]) -> None:
    """Raises SettingsError if stages do not depend on a file that their settings name, or a file
    holds no stages."""
    known = {pipeline: stages_of(pipeline) for pipeline in pipelines}
    for what, file in named_files(read_yaml(params)):
        places = {abspath(place) for place in (Path(file), *Path(file).parents)}
        missing = [
            f"{stage} in {relpath(pipeline)}"
            for pipeline, stages in known.items()
            for stage, declared in stages.items()
            if reads(stage, what)
            and not places & {abspath(pipeline.parent / d) for d in paths(declared, "deps")}
        ]
        if missing:
            raise SettingsError(
                f"{params} names {file}, which DVC does not know as a dependency of "
                f"{', '.join(missing)}: add it to their deps, or a change of it would go unseen"
            )


def reads(stage: str, what: str) -> bool:
    """Whether a stage reads a file of the settings: the ``fleet``, or a ``checkpoint``."""
    return what in STAGES[stage].files if stage in STAGES else stage == EXPERIMENT


def named_files(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The files that (valid) settings name, each after what it is: ``fleet``, ``checkpoint``."""
    found = [("fleet", values["fleet"])] if isinstance(values["fleet"], str) else []
    checkpoint = values["backbone"]["reference"].get("checkpoint")
    return [*found, ("checkpoint", checkpoint)] if checkpoint else found


def stages_of(pipeline: Path) -> dict[str, Mapping[str, Any]]:
    """The stages of a dvc.yaml by name.

    Raises:
        SettingsError: the file is not YAML, or holds no stages as DVC reads them.
    """
    content, file = read_yaml(pipeline), relpath(pipeline)
    stages = content.get("stages") if isinstance(content, Mapping) else None
    if not isinstance(stages, Mapping):
        raise SettingsError(f"{file}: no `stages:` by name. Restore it: git checkout {file}")
    for name, stage in stages.items():
        listed = [stage.get(kind) or [] for kind in LISTS] if isinstance(stage, Mapping) else [None]
        if not all(isinstance(part, list) for part in listed):
            raise SettingsError(f"{file}: stage {name}: expected a mapping with lists of files")
    return {str(name): stage for name, stage in stages.items()}


def paths(stage: Mapping[str, Any], *kinds: str) -> list[str]:
    """The files and folders that a stage lists; one with options is a mapping of its path."""
    listed = [item for kind in kinds for item in stage.get(kind) or []]
    return [str(next(iter(item)) if isinstance(item, Mapping) else item) for item in listed]
