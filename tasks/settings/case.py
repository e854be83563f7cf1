"""A case: one kind of data with all that belongs to it. The project's own lies in its root, others
beside each other in ``cases/``; what tells them apart in MLflow and Prefect is the case's name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CASES = "cases"
"""The folder of the project that holds a folder a case."""


@dataclass(frozen=True)
class Case:
    """Where a case's files lie, and what it is called.

    Attributes:
        project: the folder with ``mlflow/``, ``.acme/`` and, in a clone, the code.
        name: None for the project's own case.
    """

    project: Path
    name: str | None = None

    @classmethod
    def of(cls, folder: Path) -> Case:
        """The case whose folder this is: ``<project>/cases/<name>``, or a project's own."""
        folder = folder.absolute()
        if folder.parent.name == CASES:
            return cls(folder.parent.parent, folder.name)
        return cls(folder)

    @classmethod
    def here(cls) -> Case:
        """The case of the working folder."""
        return cls.of(Path.cwd())

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
        return self.folder / "params.yaml"

    @property
    def pipeline(self) -> Path:
        """DVC's stages."""
        return self.folder / "dvc.yaml"

    @property
    def pin(self) -> Path:
        """The pin of its raw data."""
        return self.folder / "data.dvc"

    @property
    def artifacts(self) -> Path:
        """Everything that a run makes."""
        return self.folder / "artifacts"

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
        return self.artifacts / "models"

    @property
    def plots(self) -> Path:
        """What `dvc plots` draws."""
        return self.artifacts / "plots"

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
        return self.artifacts / "summary.json"

    @property
    def report(self) -> Path:
        """What a run came to, as a page."""
        return self.artifacts / "report.html"
