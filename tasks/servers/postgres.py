"""One PostgreSQL server on loopback, from Debian's programs; its data stay when it stops.

PostgreSQL refuses to run as root: root runs it as the user ``postgres``. That user often cannot
reach a checkout (below a folder like /root), so root's data lie in the home of that user.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from tasks.run.errors import StageError

DATABASES = ("prefect", "mlflow", "mlflow_auth")


def folder(root: Path) -> Path:
    """Where the data and the log of this project's server lie."""
    owner = _owner()
    if owner is None:
        return root / ".acme/stack/postgres"
    name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]
    return Path(owner.pw_dir) / f"acme-{name}"


def running(root: Path) -> bool:
    """Whether the server of this project is up."""
    data = folder(root) / "data"
    return data.exists() and _call("pg_ctl", "status", "-D", str(data)).returncode == 0


def start(root: Path, port: int, user: str, password: str) -> None:
    """Start the server, made with ``user`` as its owner the first time; returns when it answers.

    Raises:
        StageError: PostgreSQL is missing or does not start, or its data have another password.
    """
    home = folder(root)
    _initialise(home, user, password)
    # no unix socket: its path would have to be short, and nobody needs it
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories=''"
    arguments = ["-w", "-D", str(home / "data"), "-l", str(home / "server.log"), "-o", options]
    if _call("pg_ctl", "start", *arguments).returncode:
        raise StageError(f"PostgreSQL did not start: see {home / 'server.log'}")
    _create_databases(port, user, password)


def stop(root: Path) -> None:
    """Stop the server; harmless when it is down."""
    if running(root):
        _call("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(folder(root) / "data"))


def delete(root: Path) -> None:
    """Delete the data of a stopped server."""
    shutil.rmtree(folder(root), ignore_errors=True)


def _initialise(home: Path, user: str, password: str) -> None:
    if (home / "data").exists():
        return
    new, secret = home / "new", home / "password"
    shutil.rmtree(home, ignore_errors=True)  # what a killed attempt left
    home.mkdir(parents=True, mode=0o700)
    secret.touch(mode=0o600)
    secret.write_text(password)
    if (owner := _owner()) is not None:
        for path in (home, secret):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    scram = ["--auth=scram-sha-256", f"--pwfile={secret}", f"--username={user}"]
    try:
        done = _call("initdb", "-D", str(new), *scram, "--encoding=UTF8", "--locale=C.UTF-8")
    finally:
        secret.unlink()
    if done.returncode:
        raise StageError(f"{home}: initdb failed: {done.stderr or done.stdout}")
    new.rename(home / "data")


def _create_databases(port: int, user: str, password: str) -> None:
    import psycopg2

    try:
        server = psycopg2.connect(
            host="127.0.0.1", port=port, user=user, password=password, dbname="postgres"
        )
    except psycopg2.OperationalError:
        raise StageError(
            "PostgreSQL refuses this ACME_USER and ACME_PASSWORD: its data were made with others. "
            "Use those, or start afresh: acme stack down --delete-data"
        ) from None
    server.autocommit = True  # CREATE DATABASE refuses to run in a transaction
    with server.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database")
        known = {name for (name,) in cursor.fetchall()}
        for name in DATABASES:
            if name not in known:
                cursor.execute(f"CREATE DATABASE {name}")
    server.close()


def _call(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [_program(program), *arguments]
    if _owner() is not None:
        command = [_runuser(), "-u", "postgres", "--", *command]
    # not the caller's environment, which holds the stack's password
    env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        command, cwd="/", env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


def installed() -> list[Path]:
    """The folders of Debian's versions, the newest last; Debian keeps them off PATH."""
    folders = Path("/usr/lib/postgresql").glob("*/bin")
    return sorted(folders, key=lambda path: float(path.parent.name))


def _program(name: str) -> str:
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, installed()[::-1])])
    found = shutil.which(name, path=places)
    if found is None:
        raise StageError("PostgreSQL is missing: apt install postgresql, or put its bin on PATH")
    return found


def _owner() -> pwd.struct_passwd | None:
    """The user that runs the server for root; None for everybody else, who run it themselves."""
    if os.geteuid():
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:  # initdb will say that it does not run as root, if it is here at all
        return None


def _runuser() -> str:
    """The command that runs another as a user; a shell's PATH may lack the folder that it is in."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    return shutil.which("runuser", path=path) or "runuser"
