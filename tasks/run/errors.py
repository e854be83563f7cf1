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
layer, which knows no settings; the command line shows it in the same way. So it does what the
operating system says of a file (:func:`said`), wherever it was read or written.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator


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


SILENT = {
    "httpx": ("TransportError", "Prefect", "PREFECT_API_URL"),
    "requests": ("RequestException", "MLflow", "MLFLOW_TRACKING_URI"),
}
"""By the library that asks a server, its error for one that does not answer; which server that is,
and the variable that names it. (By name: who reads errors need not have these libraries.)"""
FAILS = re.compile(r"Server error '5\d\d|failed with error code 5\d\d")
FULL = "database or disk is full"


def _chain(error: BaseException | None) -> Iterator[tuple[BaseException, str, str]]:
    """An error and what it came of, up to one that is meant for a person, each with the library
    and the name of each of its classes."""
    while error is not None and not isinstance(error, AcmeError):
        for kind in type(error).__mro__:
            yield error, kind.__module__.partition(".")[0], kind.__name__
        error = error.__cause__ or error.__context__


def _of_a_server(error: BaseException) -> str | None:
    """What a server's failure is, in words."""
    for found, library, name in _chain(error):
        if name == SILENT.get(library, ("",))[0]:
            _, server, variable = SILENT[library]
            return (
                f"{server}'s server does not answer any more: see to it (or mend {variable}) and "
                f"{AGAIN}"
            )
        if (library, name) == ("httpx", "HTTPStatusError") and FAILS.search(str(found)):
            return (
                "Prefect's server fails: its log (where a run started it, prefect-server.log below "
                f".acme) says why, often a full disk. Mend that, and {AGAIN}"
            )
        if (library, name) == ("mlflow", "MlflowException") and FAILS.search(str(found)):
            return f"MLflow's server fails, often of a full disk: see its log, mend it, and {AGAIN}"
        if library in ("mlflow", "sqlalchemy", "sqlite3") and FULL in str(found):
            return f"MLflow's store: {FULL}. {ROOM}"
    return None


AGAIN = "run again: finished steps are kept"
ROOM, WRITABLE = (
    f"Make room there, and {AGAIN}",
    f"Make it a place that can be written, and {AGAIN}",
)
RIGHT = f"Give this user the right to it, and {AGAIN}"
REMEDIES = {
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.EROFS: WRITABLE,
    errno.EACCES: RIGHT,
    errno.EPERM: RIGHT,
    errno.EIO: f"Look after the disk, and {AGAIN}",
    errno.ENAMETOOLONG: "Give it a shorter name",
    errno.ENOENT: "Check the path",
    errno.ENOTDIR: "A file is in the place of a folder: move it away",
    errno.EISDIR: "A folder is in the place of a file: move it away",
    errno.EEXIST: "Move away what is in its place",
    errno.ENOTEMPTY: "Move away what is in its place",
    errno.ELOOP: "Its links lead in a circle: mend them",
    errno.EMFILE: f"Allow more open files (ulimit -n), and {AGAIN}",
    errno.ENFILE: f"Allow more open files (ulimit -n), and {AGAIN}",
}
"""What to do about what the operating system says of a file."""
OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)
"""What it also says without naming one."""


def said(error: BaseException) -> str | None:
    """What a person reads of an error that they can act on: what it is about, what is wrong and
    what to do. None: it is a fault of this program."""
    from models.matching.selection import NothingFitsError
    from models.versions import UnreadableError

    if isinstance(error, AcmeError | NothingFitsError | UnreadableError):
        return str(error)
    if (words := _of_a_server(error)) is not None:
        return words
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        around = error.object[max(0, error.start - 80) : error.end + 80].splitlines()
        name = next((line for line in around if not line.isprintable()), error.object[:80])
        return f"{name.strip()!a}: a name that is not UTF-8. Rename it"
    if not isinstance(error, OSError) or error.errno not in REMEDIES:
        return None
    if error.filename is None and error.errno not in OF_THE_MACHINE:
        return None
    where = "" if error.filename is None else f"{error.filename}: "
    return f"{where}{error.strerror}. {REMEDIES[error.errno]}"
