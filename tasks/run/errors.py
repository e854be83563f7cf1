"""Everything ACME raises on purpose, in one tree.

AcmeError                    a person can act on it: one clear line, exit code 2
├── SettingsError            params.yaml or a fleet file says something impossible
├── DataError                raw data is missing, corrupt or not what data.dvc pins
│   └── ValidationError      the manifest breaks an expectation
├── LinkError                a message between tiers breaks its schema or is not allowed
├── ArtifactError            a file that an earlier step wrote is missing or damaged
├── DeliveryError            a model cannot be delivered to its device as asked
├── RegistryError            the registry has no such model or version
├── TrackingError            MLflow's store cannot be used
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


class TrackingError(AcmeError):
    """MLflow's store is damaged, another MLflow's, or cannot be written."""


class StageError(AcmeError):
    """A stage, or a service that it needs, could not finish."""


def is_ours(error: BaseException) -> bool:
    """Whether an error is for a person to act on: raised on purpose, or by a server's silence."""
    from models.matching.selection import NothingFitsError
    from models.versions import UnreadableError

    return isinstance(error, AcmeError | NothingFitsError | UnreadableError) or is_lost(error)


SILENT = {
    "httpx": ("TransportError", "Prefect", "PREFECT_API_URL"),
    "requests": ("RequestException", "MLflow", "MLFLOW_TRACKING_URI"),
}
"""By the library that asks a server, its error for one that does not answer; which server that is,
and the variable that names it. (By name: who reads errors need not have these libraries.)"""


def said(error: BaseException) -> str:
    """What a person is told of an error that :func:`is_ours`."""
    lost = _lost(error)
    if lost is None:
        return str(error)
    _, server, name = SILENT[lost]
    return (
        f"{server}'s server does not answer any more: see to it (or mend {name}) and run again; "
        "finished steps are kept"
    )


def is_lost(error: BaseException) -> bool:
    """Whether an error is that of a server that does not answer."""
    return _lost(error) is not None


def _lost(error: BaseException | None) -> str | None:
    while error is not None and not isinstance(error, AcmeError):
        for kind in type(error).__mro__:
            library = kind.__module__.partition(".")[0]
            if kind.__name__ == SILENT.get(library, ("",))[0]:
                return library
        error = error.__cause__ or error.__context__
    return None
