"""Servers that outlive the command that started them, known by pid and start time.

With the start time, a pid that the system gave to somebody else is never taken for ours.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass

import psutil

STOP_TIMEOUT_S = 15.0
CLOCK_SLACK_S = 2.0  # a clock that was set moves the start times that psutil reports


@dataclass(frozen=True)
class Known:
    """A server that we started: the leader of its process group, and when it started."""

    pid: int
    created: float

    @classmethod
    def by(cls, pid: int) -> Known:
        return cls(pid, psutil.Process(pid).create_time())

    def family(self) -> list[psutil.Process]:
        """The server and all that runs below it; none if its pid is another's now.

        A server that died leaves its children in its process group: they are ours too.
        """
        members = [p for p in psutil.process_iter() if _group(p.pid) == self.pid]
        with suppress(psutil.NoSuchProcess):
            leader = psutil.Process(self.pid)
            if abs(leader.create_time() - self.created) > CLOCK_SLACK_S:
                return []
            # a worker gives every flow run a process group of its own
            members += leader.children(recursive=True)
        return list({p.pid: p for p in members}.values())

    def alive(self) -> bool:
        """Whether the server itself runs."""
        with suppress(psutil.NoSuchProcess):
            return any(
                p.pid == self.pid and p.status() != psutil.STATUS_ZOMBIE for p in self.family()
            )
        return False

    def stop(self) -> None:
        """End the server and all that runs below it, by force if it takes too long."""
        left = self.family()
        for sign in (signal.SIGINT, signal.SIGKILL):
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(sign)
            _, left = psutil.wait_procs(left, STOP_TIMEOUT_S)


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
