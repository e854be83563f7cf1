"""A case: one kind of data with all that belongs to it. The project's own lies in its root, others
beside each other in ``cases/``; what tells them apart in MLflow and Prefect is the case's name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from os.path import abspath
from pathlib import Path

from tasks.run.errors import SettingsError
from tasks.run.files import ARTIFACTS

CASES = "cases"
"""The folder of the project that holds a folder a case."""

SETTINGS = "params.yaml"
"""The settings that DVC reads, in a case's folder."""

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 60
TAKEN = "backbone"
"""No word of a case's name: the registered models of two cases must not be called alike."""


@dataclass(frozen=True)
class Case:
    """Where a case's files lie, and what it is called.

    Attributes:
        project: the folder with ``mlflow/``, ``.acme/`` and, in a clone, the code.
        name: None for the project's own case.
        out: where the last stage writes its artifacts before they take the earlier ones' place.
    """

    project: Path
    name: str | None = None
    out: Path | None = None

    @classmethod
    def of(cls, folder: Path) -> Case:
        """The case whose folder this is: ``<project>/cases/<name>`` of a DVC project, or a
        project's own (which may itself lie in a folder that somebody called so)."""
        folder = folder.absolute()
        project = folder.parent.parent
        if folder.parent.name == CASES and (project / ".dvc").is_dir():
            return cls(project, folder.name)
        return cls(folder)

    @classmethod
    def here(cls) -> Case:
        """The case of the working folder."""
        return cls.of(Path.cwd())

    def sibling(self, name: str) -> Case:
        """The case of this project that is, or will be, called so.

        Raises:
            SettingsError: nothing can be called so.
        """
        if not NAME.fullmatch(name) or TAKEN in name.split("-") or len(name) > LONGEST:
            raise SettingsError(
                f"--case {name[: LONGEST + 3]}: give small letters and digits, in words joined by "
                f"-, of which none is {TAKEN}, {LONGEST} in all at most"
            )
        return Case(self.project, name)

    def existing(self, name: str) -> Case:
        """The case of this project that is called so.

        Raises:
            SettingsError: there is none; names those there are.
        """
        case = self.sibling(name)
        if not case.params.is_file():
            known = ", ".join(c.name for c in self.all() if c.name) or "none yet"
            raise SettingsError(
                f"no case {name!r} in {CASES}/; there are: {known}. "
                f"To make it: {case.command('init')}"
            )
        return case

    def all(self) -> list[Case]:
        """Every case of this project that has settings, its own first."""
        folders = sorted(path.parent for path in self.project.glob(f"{CASES}/*/{SETTINGS}"))
        own = Case(self.project)
        return [*([own] if own.params.is_file() else []), *(Case.of(f) for f in folders)]

    def command(self, words: str) -> str:
        """An `acme` command for this case, as a person in the project's folder types it."""
        return f"acme --case {self.name} {words}" if self.name else f"acme {words}"

    def key(self, name: str) -> str:
        """The key of one of its artifacts in Prefect."""
        return f"{self.name}-{name}" if self.name else name

    def addressed(self, words: str) -> str:
        """A message whose `acme` commands are made this case's: who reads it may stand in the
        project's folder, where without --case they would change the project's own."""
        if not self.name:
            return words
        return re.sub(r"\bacme (?=[a-z])", f"acme --case {self.name} ", words)

    def shown(self, path: Path) -> Path:
        """A path as it is printed: from the project's folder on, where it lies below that."""
        path = path.absolute()
        return path.relative_to(self.project) if path.is_relative_to(self.project) else path

    def reads(self, params: Path) -> bool:
        """Whether a settings file is the one that DVC reads (and not what that links to: files
        that settings name lie beside them)."""
        return abspath(params) == abspath(self.params)

    @classmethod
    @contextmanager
    def entered(cls, name: str | None) -> Iterator[Case]:
        """The case here, or that of this project which is called ``name``, with its folder as the
        working folder while the block runs: what its settings name lies there.

        Raises:
            SettingsError: there is no such case.
        """
        case = cls.here().existing(name) if name else cls.here()
        with chdir(case.folder):
            yield case

    @property
    def folder(self) -> Path:
        """The root of its DVC project: settings, pipeline, pin and artifacts lie below it."""
        return self.project / CASES / self.name if self.name else self.project

    @property
    def label(self) -> str:
        """What its names in MLflow and Prefect begin with."""
        return f"acme-{self.name}" if self.name else "acme"

    @property
    def params(self) -> Path:
        """The settings that its pipeline reads."""
        return self.folder / SETTINGS

    @property
    def pipeline(self) -> Path:
        """DVC's stages."""
        return self.folder / "dvc.yaml"

    @property
    def servers(self) -> Path:
        """What the project's servers leave, for all its cases: logs, Prefect's home, the stack."""
        return self.project / ".acme"

    @property
    def experiments(self) -> Path:
        """DVC's stages of the paper's experiments, which are on the project's own case."""
        return self.folder / "evaluation/dvc.yaml"

    @property
    def pin(self) -> Path:
        """The pin of its raw data."""
        return self.folder / "data.dvc"

    @property
    def artifacts(self) -> Path:
        """Everything that a run makes."""
        return self.folder / ARTIFACTS

    @property
    def outcome(self) -> Path:
        """What the last stage leaves, beside other artifacts."""
        return self.out or self.artifacts

    @property
    def work(self) -> Path:
        """What tasks exchange and Prefect caches; safe to delete between runs."""
        return self.artifacts / "work"

    @property
    def partition(self) -> Path:
        """Who owns which sample."""
        return self.artifacts / "partition"

    @property
    def validation(self) -> Path:
        """What the gates said of the partition."""
        return self.artifacts / "validation"

    @property
    def backbone(self) -> Path:
        """The outcome of the cloud's phase."""
        return self.artifacts / "backbone"

    @property
    def customize(self) -> Path:
        """The outcome of the edges' and devices' phase."""
        return self.artifacts / "customize"

    @property
    def nightly(self) -> Path:
        """What devices that were refined alone left, and what they remember."""
        return self.artifacts / "nightly"

    @property
    def models(self) -> Path:
        """Every device's model as it ships."""
        return self.outcome / "models"

    @property
    def plots(self) -> Path:
        """What `dvc plots` draws."""
        return self.outcome / "plots"

    @property
    def export(self) -> Path:
        """Models in the formats that devices run."""
        return self.artifacts / "export"

    @property
    def evaluation(self) -> Path:
        """The outcome of the paper's experiments."""
        return self.artifacts / "evaluation"

    @property
    def summary(self) -> Path:
        """What a run came to, as JSON."""
        return self.outcome / "summary.json"

    @property
    def report(self) -> Path:
        """What a run came to, as a page."""
        return self.outcome / "report.html"
