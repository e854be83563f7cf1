"""The model registry: versions come in as ``challenger`` and are promoted to ``champion``.

One registered model a device (``acme-device-<id>``) and a cluster's backbone
(``acme-backbone-<edge>``); those of another case than the project's own are called
``acme-<case>-...``. What was decided of a version, and why, is in its tags.

A version is made in several writes, each of which finds what a killed writer left: the logged model
by its state's hash (until it is READY it is completed), then the version, which comes with its tags
and card at once, then the alias.

A version may have been registered by anybody, and MLflow's loaders run what is in it (a pickle, a
module that ``MLmodel`` names, torch.export's archive). Nothing of it is opened here but its
safetensors state.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.run.errors import RegistryError
from tasks.run.files import sha256_of
from tasks.settings.case import Case
from tasks.tracking.candidates import metric_list
from tasks.tracking.patience import tolerated
from tasks.tracking.store import connect

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from torch import Tensor, nn

MODELS = "models:/"
CHAMPION, CHALLENGER = "champion", "challenger"
HOW_TO_GET_ONE = (
    "Try: acme promote. Where nothing waits for it (a new clone or server knows no models): "
    "acme stage evaluate, then acme promote"
)
SAMPLES = "samples_sha256"  # the tag of a version: the hash of the device's samples
REASON, REPLACED, ROLLED_BACK = "acme.reason", "acme.replaced", "acme.rolled_back"
WRITTEN = re.compile(
    r"MLmodel|registered_model_meta|[^/]+\.(yaml|txt|json)|data/model\.pt2"
    r"|extra_files/[^/]+\.(json|safetensors)"
)
"""The files of a version that :meth:`Registry.register` makes."""


@dataclass(frozen=True)
class Version:
    """A version of a registered model; ``sha256`` is that of its state."""

    name: str
    number: str
    sha256: str
    run_id: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Entry:
    """What becomes a version.

    Attributes:
        example: a batch of at least 2 inputs: a batch of 1 would fix the batch size.
        run_id: the run that it comes from.
        sha256: the hash of its state.
        card: the model card, in Markdown.
        files: its safetensors state and configuration, kept beside it.
    """

    module: nn.Module
    example: Tensor
    run_id: str
    sha256: str
    tags: Mapping[str, str]
    card: str
    files: Sequence[Path]
    metrics: Mapping[str, float]


def device_model(case: Case, device: str) -> str:
    """The registered model of a device."""
    return f"{case.label}-device-{device.removeprefix('device-')}"


def backbone_model(case: Case, edge: str) -> str:
    """The registered model of a cluster's backbone."""
    return f"{case.label}-backbone-{edge}"


class Registry:
    """The registered models of one MLflow store."""

    def __init__(self, project: Path) -> None:
        self.client: MlflowClient = connect(project)

    def register(self, name: str, entry: Entry) -> Version:
        """Make an entry the challenger of the registered model ``name``.

        The model is stored as a ``torch.export`` program, which MLflow loads without this code, and
        as its safetensors state, the one thing that is loaded here.
        Content that is registered already gets no second version, and a champion is not made its
        own challenger.
        """
        tags = {k: v for k, v in entry.tags.items() if v} | {"sha256": entry.sha256}
        self._named(name, entry.card)
        number = self._number_with(name, entry.sha256)
        if number is None:
            model = self._logged(name, entry, tags)
            self.client.create_model_version(
                name,
                f"{MODELS}{model.model_id}",
                entry.run_id,
                tags=tags,
                description=entry.card,
                model_id=model.model_id,
            )
            number = self._number_with(name, entry.sha256)
            assert number is not None
        found = self.client.get_model_version(name, number)
        self.tag(name, number, {k: v for k, v in tags.items() if found.tags.get(k) != v})
        if found.description != entry.card:
            self.client.update_model_version(name, number, entry.card)
        champion = self.find(name, CHAMPION)
        if champion is None or champion.number != number:
            self.client.set_registered_model_alias(name, CHALLENGER, number)
        return self.version(name, number)

    def find(self, name: str, alias: str) -> Version | None:
        """The version that an alias is of, if any."""
        from mlflow.exceptions import MlflowException

        try:
            found = self.client.get_model_version_by_alias(name, alias)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        return _as_version(found)

    def made_from(self, name: str, samples_sha256: str) -> tuple[Version | None, bool]:
        """A model's champion, and whether it or the challenger was made from these samples."""
        champion, challenger = self.find(name, CHAMPION), self.find(name, CHALLENGER)
        seen = [v.tags.get(SAMPLES) == samples_sha256 for v in (champion, challenger) if v]
        return champion, any(seen)

    def version(self, name: str, number: str) -> Version:
        """One version of a model."""
        return _as_version(self.client.get_model_version(name, number))

    def named(self, uri: str) -> Version:
        """The version of ``models:/<name>/<number>`` or ``models:/<name>@<alias>``.

        Raises:
            RegistryError: there is none.
        """
        from mlflow.exceptions import MlflowException

        name, _, alias = uri.removeprefix(MODELS).partition("@")
        name, _, number = name.partition("/")
        try:
            found = self.find(name, alias) if alias else self.version(name, number)
        except MlflowException as error:
            raise RegistryError(f"{uri}: {error.message}") from None
        if found is None:
            raise RegistryError(f"{uri}: the registry has no such model or alias")
        return found

    def state_file(self, version: Version, folder: Path) -> Path:
        """Bring a version's safetensors state, with its configuration inside, into ``folder``.
        Nothing else of the version is brought or opened.

        Raises:
            RegistryError: it holds what :meth:`register` never writes, or not one state, or another
                state than the one that was registered.
        """
        from mlflow.artifacts import download_artifacts

        where, uri = f"{version.name} version {version.number}", _uri(version)
        files = sorted(_files(uri))
        foreign = [name for name in files if not WRITTEN.fullmatch(name)]
        if foreign:
            raise RegistryError(
                f"{where} holds {foreign[0]}, which acme never writes and which may run code: "
                "it is not opened. Delete the version"
            )
        states = [name for name in files if name.endswith(".safetensors")]
        if len(states) != 1:
            raise RegistryError(
                f"{where} holds {len(states)} safetensors states, not one: it is not opened. "
                "Delete the version, and register models by acme run"
            )
        found = Path(download_artifacts(f"{uri}/{states[0]}", dst_path=str(folder)))
        if sha256_of(found) != version.sha256:
            raise RegistryError(
                f"{where}: {states[0]} is not the file that was registered (its tag sha256 is "
                "another): it is not opened. Delete the version, or roll back"
            )
        return found

    def promote(self, challenger: Version, reason: str) -> None:
        """The challenger becomes champion; the version remembers whom it replaced."""
        name, number = challenger.name, challenger.number
        before = self.find(name, CHAMPION)
        if before is None or before.number != number:  # else it is one that a kill left half done
            self.tag(name, number, {REASON: reason} | ({REPLACED: before.number} if before else {}))
            self.client.set_registered_model_alias(name, CHAMPION, number)
        self.client.delete_registered_model_alias(name, CHALLENGER)

    def hold(self, challenger: Version, reason: str) -> None:
        """The challenger stays what it is, and says why."""
        self.tag(challenger.name, challenger.number, {REASON: reason})

    def rollback(self, name: str) -> tuple[Version, Version]:
        """The champion's predecessor is champion again; the other is never promoted by itself.

        Returns:
            The version that was rolled back, and the champion now.

        Raises:
            RegistryError: there is no champion, or it replaced none.
        """
        champion = self.find(name, CHAMPION)
        if champion is None:
            raise RegistryError(f"{name} has no champion. {HOW_TO_GET_ONE}")
        before = champion.tags.get(REPLACED)
        if not before:
            raise RegistryError(
                f"{name}: version {champion.number} replaced no other; there is none to go back to"
            )
        # the tags first: a version that was left must not be promoted again, come what may
        why = {ROLLED_BACK: "true", REASON: f"rolled back to version {before}"}
        self.tag(name, champion.number, why)
        self.client.set_registered_model_alias(name, CHAMPION, before)
        return champion, self.version(name, before)

    def tag(self, name: str, number: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        for key, value in tags.items():
            self.client.set_model_version_tag(name, number, key, value)

    def _named(self, name: str, card: str) -> None:
        """The registered model, made or with its card brought up to date."""
        # without asking first: two writers may both be told that there is none
        with tolerated("RESOURCE_ALREADY_EXISTS"):
            self.client.create_registered_model(name, description=card)
            return
        if self.client.get_registered_model(name).description != card:
            self.client.update_registered_model(name, card)

    def _number_with(self, name: str, sha256: str) -> str | None:
        """The version of this content; of several, which writers at the same time made, the first,
        and the others are deleted."""
        filtered = f"name = '{name}' and tags.sha256 = '{sha256}'"
        numbers = sorted(int(v.version) for v in self.client.search_model_versions(filtered))
        for number in numbers[1:]:
            with tolerated("RESOURCE_DOES_NOT_EXIST"):  # the other writer was quicker
                self.client.delete_model_version(name, str(number))
        return str(numbers[0]) if numbers else None

    def _logged(self, name: str, entry: Entry, tags: Mapping[str, str]) -> LoggedModel:
        """The entry as a model of its run: the one that is there, completed, or a new one."""
        run = self.client.get_run(entry.run_id)
        texts = {key: str(value) for key, value in tags.items()}
        while (model := self._model_of(run, entry.sha256)) is None or str(model.status) != "READY":
            if model is None:
                self.client.create_logged_model(
                    run.info.experiment_id, name, entry.run_id, texts, run.data.params
                )
            else:
                self._complete(model, run, entry)
        return model

    def _model_of(self, run: Run, sha256: str) -> LoggedModel | None:
        """The run's model of this content; of several the first, and the others are deleted."""
        found = self.client.search_logged_models(
            [run.info.experiment_id],
            f"source_run_id = '{run.info.run_id}' and tags.sha256 = '{sha256}'",
        )
        models = sorted(found, key=lambda model: (model.creation_timestamp, model.model_id))
        for model in models[1:]:
            self.client.delete_logged_model(model.model_id)
        return models[0] if models else None

    def _complete(self, model: LoggedModel, run: Run, entry: Entry) -> None:
        """Write what a logged model lacks, and make it READY last."""
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus

        number, run_id = model.model_id, run.info.run_id
        known = run.outputs.model_outputs if run.outputs else []
        if number not in [output.model_id for output in known]:
            self.client.log_outputs(run_id, [LoggedModelOutput(number, step=0)])
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "model"
            _save(model, entry, folder)
            self.client.log_model_artifacts(number, str(folder))
        have = {metric.key for metric in model.metrics or []}
        metrics = {k: v for k, v in {**run.data.metrics, **entry.metrics}.items() if k not in have}
        self.client.log_batch(run_id, metrics=metric_list(metrics, number))
        self.client.finalize_logged_model(number, LoggedModelStatus.READY)


def save(module: nn.Module, example: Tensor, folder: Path) -> Path:
    """A model as MLflow's own in a folder, to be served from there; see :class:`Entry`."""
    import mlflow.pytorch

    mlflow.pytorch.save_model(module, str(folder), **_form(module, example))
    return folder


def _save(model: LoggedModel, entry: Entry, folder: Path) -> None:
    """What :func:`mlflow.pytorch.log_model` uploads."""
    import mlflow.pytorch
    from mlflow.models import Model

    mlflow.pytorch.save_model(
        entry.module,
        str(folder),
        mlflow_model=Model(
            artifact_path=model.artifact_location,
            model_uuid=model.model_id,
            run_id=entry.run_id,
            model_id=model.model_id,
        ),
        extra_files=[str(file) for file in entry.files],
        **_form(entry.module, entry.example),
    )


def _form(module: nn.Module, example: Tensor) -> dict[str, Any]:
    """How a model is written: as a program of torch.export, which takes any number of inputs."""
    from mlflow.models import infer_signature

    inputs = example.numpy()
    return {
        "signature": infer_signature(inputs, module(example).detach().numpy()),
        "input_example": inputs,
        "pip_requirements": ["torch"],
        "serialization_format": "pt2",
    }


def _uri(version: Version) -> str:
    return f"{MODELS}{version.name}/{version.number}"


def _files(uri: str, below: str = "") -> Iterator[str]:
    """The names of all files of a version, from its folder on."""
    from mlflow.artifacts import list_artifacts

    for found in list_artifacts(f"{uri}/{below}" if below else uri):
        if found.is_dir:
            yield from _files(uri, found.path)
        else:
            yield found.path


def _as_version(found: Any) -> Version:
    tags = dict(found.tags)
    return Version(found.name, str(found.version), tags.get("sha256", ""), found.run_id, tags)
