"""A Python module run as a server that ends when nobody needs it any more, however they ended.

    python -P tied.py LOCK MODULE [ARGUMENT]...

Whoever needs the server holds a shared lock on the file LOCK; with ``-``, the other end of this
process's standard input. The kernel lets go of both for whoever is killed. The server holds LOCK
from then until it has ended, so that no second one starts beside it.
"""

from __future__ import annotations

import fcntl
import os
import runpy
import signal
import sys
import time
from threading import Thread

GRACE_S = 10.0


def tied(lock: str, module: str, *arguments: str) -> list[str]:
    """The command that runs a module as such a server, as the leader of a process group."""
    return [sys.executable, "-P", __file__, lock, module, *arguments]


def end_unneeded(lock: str) -> None:
    """Wait until nobody needs the process group of this process, and end it, by force if it takes
    too long."""
    if lock == "-":
        os.read(0, 1)
    else:
        held = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_S)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Run the module as if it had been called."""
    _, lock, module, *arguments = sys.argv
    Thread(target=end_unneeded, args=(lock,), daemon=True).start()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
