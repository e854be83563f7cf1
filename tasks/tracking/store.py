"""Where runs and models are kept, and a client of it that many may use at once.

A project's own store is a SQLite database. It is made under a temporary name and moved into place
whole: MLflow makes one in a hundred steps, and never finishes what a kill left in the middle.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from filelock import FileLock

from tasks.run.errors import FULL, ROOM, TrackingError
from tasks.settings.case import Case
from tasks.tracking.patience import Patient

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory
    from mlflow import MlflowClient

LOCAL = "sqlite:///"
BESIDE = ("-journal", "-wal", "-shm")
"""What SQLite keeps beside a database: of no use without it, and harmful beside another."""
BUSY_S = 20.0
MEANS_SOMETHING = re.compile(r"\?|%[0-9a-fA-F]{2}")
"""What MLflow reads in the path of a store as more than a name."""


def tracking_uri(project: Path) -> str:
    """MLFLOW_TRACKING_URI, else the project's own store below ``mlflow/store``, for all its cases.

    A queued experiment of DVC's runs in a copy of the project below the ``.dvc`` of a case, which
    is thrown away; its runs belong to the project.
    """
    of_dvc = [folder.parent for folder in project.parents if folder.name == ".dvc"]
    project = Case.of(of_dvc[0]).project if of_dvc else project
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{LOCAL}{project / 'mlflow/store/mlflow.db'}"


def database(project: Path) -> Path | None:
    """The file of a store that is one; None for a server."""
    uri = tracking_uri(project)
    return Path(uri.removeprefix(LOCAL)) if uri.startswith(LOCAL) else None


def connect(project: Path) -> MlflowClient:
    """A client of the store, which is also made MLflow's current one; a store that is a file is
    made if there is none.

    Raises:
        TrackingError: the file is no database that this MLflow can use.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    uri, file = tracking_uri(project), database(project)
    if file is not None:
        _ensure(file)
    elif not uri.startswith("http"):
        _ensure_tables(uri)
    mlflow.set_tracking_uri(uri)
    return cast("MlflowClient", Patient(mlflow.MlflowClient(uri)))


def check(project: Path) -> None:
    """Raises TrackingError if the store is a file that cannot be used, or cannot be made: what a
    run should know before it starts."""
    file = database(project)
    if file is not None:
        _require_plain(file)
        if file.exists():
            _check(file)


def _require_plain(file: Path) -> None:
    """MLflow would put some of what it writes into another folder."""
    if odd := MEANS_SOMETHING.search(str(file)):
        raise TrackingError(
            f"{file}: MLflow cannot keep its store in a folder with {odd[0]} in its path: rename "
            "that folder, or name another store in MLFLOW_TRACKING_URI"
        )


def _ensure(file: Path) -> None:
    """Make the database, one process at a time, or check the one that is there."""
    _require_plain(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            with FileLock(file.with_name(f".{file.name}.lock")):
                if not file.exists():
                    _make(file)
    except OSError as error:
        raise TrackingError(
            f"{file.parent}: MLflow's store cannot be written there: {error.strerror}. Make it a "
            "place that can be written, or name another in MLFLOW_TRACKING_URI"
        ) from None
    _check(file)


@cache
def _ensure_tables(uri: str) -> None:
    """Make the tables of a database that is used without a server, one process at a time."""
    from mlflow.store.db import utils
    from mlflow.store.db.db_types import DATABASE_ENGINES

    if uri.partition(":")[0].partition("+")[0] in DATABASE_ENGINES:
        engine = utils.create_sqlalchemy_engine_with_retry(uri)
        utils._safe_initialize_tables(engine)
        engine.dispose()


def _make(file: Path) -> None:
    from mlflow.store.db import utils

    partial = file.with_name(f".{file.name}.partial")
    for left in (
        partial,
        *(of.with_name(of.name + end) for of in (file, partial) for end in BESIDE),
    ):
        left.unlink(missing_ok=True)
    engine = utils.create_sqlalchemy_engine_with_retry(f"{LOCAL}{partial}")
    with engine.connect() as connection:  # nobody needs its hundred steps on the disk, but the last
        connection.exec_driver_sql("PRAGMA synchronous = OFF")
    utils._initialize_tables(engine)  # as `mlflow db upgrade` does with an empty database
    engine.dispose()
    with partial.open("rb+") as whole:
        os.fsync(whole.fileno())
    partial.rename(file)


def _check(file: Path) -> None:
    away = f"mv {file} {file}.old, and run again: a new one is made"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True)) as found:
            found.execute(f"PRAGMA busy_timeout = {1000 * BUSY_S:.0f}")
            found.execute("BEGIN IMMEDIATE")  # also takes back what a kill left in a journal
            found.execute("PRAGMA user_version = 0")  # a write, which is not committed
            damage = found.execute("PRAGMA quick_check(1)").fetchone()[0]
            tables = {name for (name,) in found.execute("SELECT name FROM sqlite_master")}
            revision, used = (
                _first(found, name) if name in tables else None
                for name in ("alembic_version", "experiments")
            )
    except sqlite3.OperationalError as error:
        if FULL in str(error):
            raise TrackingError(f"{file}: {FULL}. {ROOM}") from None
        raise TrackingError(
            f"{file}: MLflow's store cannot be used: {error}. Make the file and its folder "
            "writable; if another program holds it, end that one"
        ) from None
    except sqlite3.DatabaseError as error:
        raise TrackingError(
            f"{file}: not MLflow's store ({error}). To do without it: {away}"
        ) from None
    if damage != "ok":
        raise TrackingError(f"{file}: MLflow's store is damaged ({damage}). Restore it, or {away}")
    if revision == _scripts().get_current_head():
        return
    if revision is None and tables and "experiments" not in tables:
        raise TrackingError(f"{file}: a database of another program's. To do without it: {away}")
    if used is None:
        raise TrackingError(
            f"{file}: half made (MLflow was killed while it made it), and nothing is in it. "
            f"Delete it and run again: rm {file}"
        )
    raise TrackingError(_other(file, str(revision), away))


def _other(file: Path, revision: str, away: str) -> str:
    """What to do about a store of another MLflow's."""
    import mlflow

    if revision in {script.revision for script in _scripts().walk_revisions()}:
        return (
            f"{file}: the store of an older MLflow (schema {revision}). Copy it, then: "
            f"mlflow db upgrade {LOCAL}{file}"
        )
    return (
        f"{file}: the store of another MLflow (schema {revision}), which {mlflow.__version__} does "
        f"not know. Install the MLflow that wrote it, or {away}"
    )


def _first(found: sqlite3.Connection, table: str) -> Any:
    """The first column of a table's first row; None if it has none."""
    row = found.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()
    return row[0] if row else None


@cache
def _scripts() -> ScriptDirectory:
    """The schemas that this MLflow knows."""
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config

    return ScriptDirectory.from_config(_get_alembic_config(""))
