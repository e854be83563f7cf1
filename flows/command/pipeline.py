"""The stages of dvc.yaml and what they depend on. ``python -m flows.command.pipeline`` writes the
code that each stage's flow runs into its dependencies (``make deps``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from tasks.run.closure import PACKAGES, closure, relative
from tasks.run.errors import SettingsError
from tasks.run.files import atomic_write
from tasks.run.stages import is_pipelines
from tasks.settings.fields import read_yaml

PIPELINE = Path("dvc.yaml")
VERSIONS = "constraints.txt"


def code_of(stage: str) -> list[str]:
    """The files of this project that a stage's flow runs, after the libraries' versions. (The
    command line hands the flow its settings, and decides nothing else.)"""
    return [VERSIONS, *(relative(file) for file in closure(f"flows.{stage}"))]


def is_code(dependency: str) -> bool:
    """Whether a stage's dependency is this project's code, or what that was made with."""
    return dependency == VERSIONS or dependency.split("/")[0] in PACKAGES


def with_code(text: str) -> str:
    """The text of a dvc.yaml with every stage's code as it is now; all else stays."""
    yaml = YAML()
    yaml.width = 100
    yaml.indent(mapping=2, sequence=4, offset=2)
    content = yaml.load(text)
    for name, stage in content["stages"].items():
        own = [d for d in stage["deps"] if not is_code(d)]
        stage["deps"] = CommentedSeq([*own, *code_of(name)])
        stage["deps"].fa.set_flow_style()
    written = StringIO()
    yaml.dump(content, written)
    return "".join(f"{line.rstrip()}\n" for line in written.getvalue().splitlines())


def require_declared(params: Path) -> None:
    """DVC sees the names of files in the settings, not their content: each must be a dependency.

    Raises:
        SettingsError: a stage of dvc.yaml does not depend on a file that its settings name.
    """
    if not is_pipelines(params) or not PIPELINE.exists():
        return
    stages = read_yaml(PIPELINE)["stages"]
    for stage, file in named_files(read_yaml(params)):
        if file not in stages.get(stage, {}).get("deps", [file]):
            raise SettingsError(
                f"{params} names {file}, of which the stage {stage} in {PIPELINE} does not know: "
                f"add it to that stage's deps, or DVC would not see that it changed"
            )


def named_files(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The files that settings name, each with a stage that reads it."""
    if isinstance(values.get("fleet"), str):
        yield from ((stage, values["fleet"]) for stage in ("partition", "backbone", "customize"))
        yield "evaluate", values["fleet"]
    checkpoint = values["backbone"]["reference"].get("checkpoint")
    if checkpoint:
        yield "backbone", checkpoint


if __name__ == "__main__":
    atomic_write(PIPELINE, with_code(PIPELINE.read_text()).encode())
