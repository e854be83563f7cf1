"""Processes that begin at the same moment, as several commands do."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from typing import Any

import torch


def together(call: Callable[..., object], *each: tuple[Any, ...]) -> list[int | None]:
    """``call`` with each of the arguments, in a process of its own; their exit codes. The processes
    are made from a clean one: they share no database connection with the test's."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow.pytorch", "mlflow.store.db.utils"])
    ready = context.Barrier(len(each))
    processes = [
        context.Process(target=_start, args=(ready, dict(os.environ), call, arguments))
        for arguments in each
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def _start(
    ready: Any, environment: dict[str, str], call: Callable[..., object], arguments: tuple[Any, ...]
) -> None:
    os.environ.clear()  # the clean process has that of its own start
    os.environ.update(environment)
    torch.set_num_threads(1)
    ready.wait()
    call(*arguments)
