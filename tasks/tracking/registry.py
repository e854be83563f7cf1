"""The model registry: versions come in as ``challenger`` and are promoted to ``champion``.

One registered model a device (``acme-device-<id>``) and a cluster's backbone
(``acme-backbone-<edge>``); those of another case than the project's own are called
``acme-<case>-...``. What was decided of a version, and why, is in its tags.

A version is made in several writes, each of which finds what a killed writer left: the logged model
(:mod:`tasks.tracking.logged`), then the version, which comes with its tags and card at once, then
the alias. What may be opened of one: :mod:`tasks.tracking.state`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.run.errors import RegistryError
from tasks.settings.case import Case
from tasks.tracking.logged import Entry, logged
from tasks.tracking.patience import tolerated
from tasks.tracking.store import connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODELS = "models:/"
CHAMPION, CHALLENGER = "champion", "challenger"
HOW_TO_GET_ONE = (
    "Try: acme promote. Where nothing waits for it (a new clone or server knows no models): "
    "acme stage evaluate, then acme promote"
)
SAMPLES = "samples_sha256"  # the tag of a version: the hash of the device's samples
REASON, REPLACED, ROLLED_BACK = "acme.reason", "acme.replaced", "acme.rolled_back"


@dataclass(frozen=True)
class Version:
    """A version of a registered model; ``sha256`` is that of its state."""

    name: str
    number: str
    sha256: str
    run_id: str
    tags: Mapping[str, str]


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
            model = logged(self.client, name, entry, tags)
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

    def champion(self, name: str) -> Version:
        """A model's champion. Raises RegistryError if it has none."""
        champion = self.find(name, CHAMPION)
        if champion is None:
            raise RegistryError(f"{name} has no champion. {HOW_TO_GET_ONE}")
        return champion

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
        champion = self.champion(name)
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


def _as_version(found: Any) -> Version:
    tags = dict(found.tags)
    return Version(found.name, str(found.version), tags.get("sha256", ""), found.run_id, tags)
