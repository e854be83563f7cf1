"""The stages of dvc.yaml and what they depend on. ``python -m flows.command.pipeline`` writes the
code that each stage's flow runs into its dependencies (``make deps``)."""

from __future__ import annotations

from io import StringIO

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from tasks.run.closure import PACKAGES, closure, relative
from tasks.run.files import atomic_write
from tasks.run.stages import PIPELINE

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


if __name__ == "__main__":
    atomic_write(PIPELINE, with_code(PIPELINE.read_text()).encode())
