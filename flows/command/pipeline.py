"""The stages of dvc.yaml and what they depend on. ``python -m flows.command.pipeline`` writes the
code that each stage's flow runs into its dependencies (``make deps``)."""

from __future__ import annotations

import sys
from io import StringIO
from os.path import normpath, relpath

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from tasks.run.closure import PACKAGES, ROOT, closure, relative
from tasks.run.errors import AcmeError
from tasks.run.files import atomic_write
from tasks.settings.case import Case
from tasks.settings.declared import stages_of

VERSIONS = "constraints.txt"


def code_of(case: Case, stage: str) -> list[str]:
    """The files of this project that a stage's flow runs, after the libraries' versions, as they
    are called in the case's folder. (The command line hands the flow its settings, and decides
    nothing else.)"""
    up = relpath(case.project, case.folder)
    files = [VERSIONS, *(relative(file) for file in closure(f"flows.{stage}"))]
    return [normpath(f"{up}/{file}") for file in files]


def is_code(dependency: str) -> bool:
    """Whether a stage's dependency is this project's code, or what that was made with."""
    first = dependency.removeprefix("../../").split("/")[0]
    return first in PACKAGES or first == VERSIONS


def holds_code(case: Case) -> bool:
    """Whether the project is a clone, whose code DVC watches; else the code is installed."""
    return case.project.resolve() == ROOT.resolve()


def with_code(case: Case, text: str) -> str:
    """The text of a case's dvc.yaml with every stage's code as it is now; all else stays."""
    yaml = YAML()
    yaml.width = 100
    yaml.indent(mapping=2, sequence=4, offset=2)
    content = yaml.load(text)
    for name, stage in content["stages"].items():
        own = [d for d in stage.get("deps") or [] if not is_code(d)]
        stage["deps"] = CommentedSeq([*own, *code_of(case, name)])
        stage["deps"].fa.set_flow_style()
    written = StringIO()
    yaml.dump(content, written)
    return "".join(f"{line.rstrip()}\n" for line in written.getvalue().splitlines())


def main() -> None:
    """Write every case's.

    Raises:
        SettingsError: a dvc.yaml is broken.
    """
    for case in Case(ROOT).all():
        if case.pipeline.is_file():
            stages_of(case.pipeline)
            atomic_write(case.pipeline, with_code(case, case.pipeline.read_text("utf-8")).encode())


if __name__ == "__main__":
    try:
        main()
    except AcmeError as error:
        print(f"acme: {error}", file=sys.stderr)
        sys.exit(2)
