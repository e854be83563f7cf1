"""The project's MLflow store: made whole or not at all, and refused in one line that says what to
do where it cannot be used."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tasks.run.errors import TrackingError
from tasks.tracking.store import check, connect
from tests.together import together

MAKE = "import sys; from pathlib import Path; from tasks.tracking.store import connect;"
MAKE += "connect(Path(sys.argv[1]))"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a store that is as MLflow makes it; copy before use."""
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        connect(root).search_experiments()
    return root


@pytest.fixture
def file(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The database of ``tmp_path``."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(made / "mlflow", tmp_path / "mlflow")
    return tmp_path / "mlflow/store/mlflow.db"


def change(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as found, found:
        for statement in statements:
            found.execute(statement)


def garbage(file: Path) -> None:
    file.write_bytes(b"no database " * 999)


def nothing(file: Path) -> None:
    file.write_bytes(b"")


def torn(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[8192:65536] = bytes(65536 - 8192)
    file.write_bytes(content)


def half_made(file: Path) -> None:
    change(
        file, "DELETE FROM experiments", "UPDATE alembic_version SET version_num = '451aebb31d03'"
    )


def first_step(file: Path) -> None:
    change(file, "DELETE FROM experiments", "DROP TABLE alembic_version")


def older(file: Path) -> None:
    change(file, "UPDATE alembic_version SET version_num = '451aebb31d03'")


def newer(file: Path) -> None:
    change(file, "UPDATE alembic_version SET version_num = 'ffffffffffff'")


def another(file: Path) -> None:
    file.unlink()
    change(file, "CREATE TABLE letters (words TEXT)")


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


UNUSABLE = [
    (garbage, "not MLflow's store .* mv .*mlflow.db .*mlflow.db.old"),
    (torn, "damaged|malformed"),
    (nothing, "half made .* rm .*mlflow.db"),
    (half_made, "half made .* rm .*mlflow.db"),
    (first_step, "half made .* rm .*mlflow.db"),
    (older, "older MLflow .* mlflow db upgrade sqlite:///.*mlflow.db"),
    (newer, "another MLflow .*schema ffffffffffff.* mv "),
    (another, "another program's.* mv "),
    (folder, "cannot be used"),
]


@pytest.mark.parametrize(("spoil", "words"), UNUSABLE, ids=[s.__name__ for s, _ in UNUSABLE])
def test_a_store_that_cannot_be_used_is_named_with_what_to_do(
    file: Path, tmp_path: Path, spoil: object, words: str
) -> None:
    check(tmp_path)
    spoil(file)  # type: ignore[operator]
    before = file.read_bytes() if file.is_file() else None
    for refuse in (check, connect):
        with pytest.raises(TrackingError, match=words) as caught:
            refuse(tmp_path)
        assert str(file) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert before == (file.read_bytes() if file.is_file() else None)


def test_the_remedy_for_an_older_store_works(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic import command
    from mlflow.db import upgrade
    from mlflow.store.db import utils

    command.downgrade(utils._get_alembic_config(f"sqlite:///{file}"), "-1")
    with pytest.raises(TrackingError, match="mlflow db upgrade") as caught:
        check(tmp_path)
    upgrade.main([str(caught.value).split()[-1]], standalone_mode=False)
    check(tmp_path)


@contextmanager
def somebody_else() -> Iterator[None]:
    """Root may write anywhere; others not."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(me)


@pytest.mark.parametrize("there", [True, False])
def test_a_place_that_cannot_be_written_is_named(there: bool, file: Path, tmp_path: Path) -> None:
    for place in (tmp_path, *tmp_path.parents):
        if place.owner() == tmp_path.owner() and place != Path("/tmp"):
            place.chmod(0o755)
    if not there:
        file.unlink()
    else:
        file.chmod(0o444)
    file.parent.chmod(0o555)
    with somebody_else(), pytest.raises(TrackingError, match=r"writable|written") as caught:
        connect(tmp_path)
    file.parent.chmod(0o755)
    assert str(file.parent) in str(caught.value)


def test_what_another_store_left_beside_does_not_get_into_a_new_one(
    file: Path, tmp_path: Path
) -> None:
    for end in ("-journal", "-wal", "-shm"):
        file.with_name(file.name + end).write_bytes(b"old")
    (file.parent / ".mlflow.db.partial").write_bytes(b"half")
    file.unlink()
    connect(tmp_path).search_experiments()
    assert {p.name for p in file.parent.iterdir()} <= {"mlflow.db", ".mlflow.db.lock"}


def test_a_journal_that_a_kill_left_is_taken_back(file: Path, tmp_path: Path) -> None:
    script = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('PRAGMA cache_size = 1'); c.execute('BEGIN');"
        "c.execute('DELETE FROM alembic_version');"
        "c.execute('CREATE TABLE big AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1"
        " FROM n WHERE i < 20000) SELECT i, hex(randomblob(50)) AS x FROM n');"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(file)], check=False)
    assert file.with_name("mlflow.db-journal").exists()
    connect(tmp_path).search_experiments()
    check(tmp_path)


def test_several_at_once_make_one_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert together(connect, *[(tmp_path,)] * 4) == [0] * 4
    check(tmp_path)


@pytest.mark.slow
def test_a_kill_at_any_time_while_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The partial file grows while it is made: killed at each tenth of its size, from then on the
    next command makes it."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for tenth in range(10):
        root = tmp_path / str(tenth)
        partial = root / "mlflow/store/.mlflow.db.partial"
        process = subprocess.Popen([sys.executable, "-c", MAKE, str(root)])
        while process.poll() is None:
            if partial.exists() and partial.stat().st_size >= tenth * 90_000:
                process.kill()
                break
            time.sleep(0.001)
        process.wait()
        assert not (root / "mlflow/store/mlflow.db").exists(), "it was killed too late"
        connect(root).search_experiments()
        check(root)
