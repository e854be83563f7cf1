"""A server of this machine, supervised by mirakuru: started, waited for, ended with all it started.

Each carries a mark in its environment, which the processes that it starts inherit: so what a crash
left of a project is found again, whoever its parent is now.
"""

from __future__ import annotations

import fcntl
import hashlib
import secrets
import shutil
import signal
import string
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT

import psutil
from mirakuru import AlreadyRunning, HTTPExecutor, ProcessExitedWithError, TimeoutExpired
from mirakuru.base_env import processes_with_env
from mirakuru.exceptions import ProcessFinishedWithError

from tasks.run.errors import REMEDIES, ROOM, WRITABLE, StageError
from tasks.servers.tied import tied

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 15.0
LEAST_ROOM_BYTES = 2**20
MARK = "ACME_SERVER"


def mark(folder: Path, kind: str) -> dict[str, str]:
    """The variable that tells the servers of one kind in a folder (a ``.acme``) from all others."""
    place = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    return {MARK: f"{kind}-{place}"}


def marked(folder: Path, kind: str) -> list[psutil.Process]:
    """The processes that carry that mark."""
    found = []
    for pid in processes_with_env(MARK, mark(folder, kind)[MARK]):
        with suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return [process for process in found if alive(process)]


def alive(process: psutil.Process) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def end(processes: list[psutil.Process]) -> None:
    """End processes, by force if they take too long."""
    left = processes
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(sign)
        _, left = psutil.wait_procs(left, STOP_TIMEOUT_S)


@contextmanager
def locked(path: Path, how: int) -> Iterator[None]:
    """Hold a lock on a file, ``fcntl.LOCK_SH`` or ``LOCK_EX``, while the block runs; the kernel
    lets go of it for whoever is killed.

    Raises:
        StageError: the file cannot be made.
    """
    with ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = held.enter_context(path.open("a"))
        except OSError as error:
            raise StageError(
                f"{path}: cannot write: {error.strerror}. "
                f"{REMEDIES.get(error.errno or 0, WRITABLE)}"
            ) from None
        fcntl.flock(file, how)
        yield


class Server(HTTPExecutor):
    """A server of Python module ``command[0]`` that ends when whoever needs it is gone.

    Args:
        name: as messages call it.
        command: a module and its arguments.
        health: an address that answers once it is up.
        log: where its output goes.
        env: what it runs with.
        lock: what those who need it hold (:mod:`tasks.servers.tied`); none: this object.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        health: str,
        log: Path,
        env: Mapping[str, str],
        lock: Path | None = None,
    ) -> None:
        self.name, self.log = name, log
        super().__init__(
            tied(str(lock or "-"), *command),
            health,
            method="GET",
            request_timeout=5,
            timeout=START_TIMEOUT_S,
            envvars=dict(env),
            stdin=DEVNULL if lock else PIPE,
            stderr=STDOUT,
        )
        # mirakuru ends, when a process ends, whatever has its pid as a part of this: a small pid is
        # a part of many, but no number is a part of letters
        self._uuid = "".join(secrets.choice(string.ascii_letters) for _ in range(32))

    def start(self) -> Server:
        """Start it and wait until it answers.

        Raises:
            StageError: its port is taken, it ended or does not answer; names its log.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self.log.open("ab") as self._stdout:
                super().start()
        except AlreadyRunning:
            raise StageError(
                f"port {self.port} is taken: free it, or give {self.name} another"
            ) from None
        except ProcessExitedWithError:
            raise StageError(f"{self.name} ended while starting: {_why(self.log)}") from None
        except TimeoutExpired:
            raise StageError(
                f"{self.name} did not answer within {START_TIMEOUT_S:.0f} s: see {self.log}"
            ) from None
        except BaseException:
            self.kill()
            raise
        return self

    @property
    def address(self) -> str:
        """Where it answers, without a path."""
        return f"{self.url.scheme}://{self.url.netloc}"

    def check_subprocess(self) -> bool:
        """Whether it answers. Raises ProcessExitedWithError if it ended, without an error too."""
        if self.process is not None and self.process.poll() == 0:
            raise ProcessExitedWithError(self, 0)
        return super().check_subprocess()

    def stop(self, *_: object) -> Server:
        """End it and what it started; harmless when it has ended."""
        self._timeout = STOP_TIMEOUT_S
        with suppress(ProcessFinishedWithError, TimeoutExpired):
            super().stop()
        return self

    def release(self) -> None:
        """Leave it to those who hold its lock."""
        self.process = None


def _why(log: Path) -> str:
    """What to look at: its log, unless there was no room for that either."""
    full = shutil.disk_usage(log.parent).free < LEAST_ROOM_BYTES
    return f"the disk of {log.parent} is full. {ROOM}" if full else f"see {log}"


def until_interrupted(*servers: Server) -> None:
    """Wait for Ctrl-C. Raises StageError if one of the servers ends before."""
    print("Ctrl-C stops.", flush=True)
    try:
        while all(server.running() for server in servers):
            time.sleep(1)
    except KeyboardInterrupt:
        print("stopped")
        return
    ended = next(server for server in servers if not server.running())
    raise StageError(f"{ended.name} ended: see {ended.log}")
