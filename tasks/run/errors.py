"""Everything ACME raises on purpose, in one tree.

AcmeError                    a person can act on it: one clear line, exit code 2
├── SettingsError            params.yaml or a fleet file says something impossible
├── DataError                raw data is missing, corrupt or not what data.dvc pins
│   └── ValidationError      the manifest breaks an expectation
├── LinkError                a message between tiers breaks its schema or is not allowed
├── ArtifactError            a file that an earlier step wrote is missing or damaged
├── DeliveryError            a model cannot be delivered to its device as asked
├── RegistryError            the registry has no such model or version
└── StageError               a stage or a service it needs could not finish

``models.matching.selection.NothingFitsError`` (a fleet that no variant fits) is raised by the pure
layer, which knows no settings; the command line shows it in the same way.
"""


class AcmeError(Exception):
    """Base of all errors that are meant for a person."""


class SettingsError(AcmeError):
    """A setting is missing, unknown or impossible."""


class DataError(AcmeError):
    """Raw data is missing, corrupt, or differs from what ``data.dvc`` pins."""


class ValidationError(DataError):
    """The manifest breaks at least one expectation."""


class LinkError(AcmeError):
    """A message is undeclared, malformed, or carries what must not leave its tier."""


class ArtifactError(AcmeError):
    """A file written by an earlier step is missing or damaged."""


class DeliveryError(AcmeError):
    """An exported model differs from what was trained, or does not fit its device."""


class RegistryError(AcmeError):
    """The registry lacks a model, a champion or a version to go back to."""


class StageError(AcmeError):
    """A stage, or a service that it needs, could not finish."""


def is_ours(error: Exception) -> bool:
    """Whether an error was raised for a person to act on."""
    from models.matching.selection import NothingFitsError
    from models.versions import UnreadableError

    return isinstance(error, AcmeError | NothingFitsError | UnreadableError)
