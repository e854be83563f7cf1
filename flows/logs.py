"""Where Prefect's lines go: to its page, with tracebacks; the terminal is ours alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

NOISE = ("Running hook ", "Hook ")
DRAIN_TIMEOUT_S = 10.0


@contextmanager
def prefect_on_its_page() -> Iterator[None]:
    """While the block runs, Prefect writes to its server alone; at the end all of it is there, so
    that the server may be stopped. (An error that ends a flow is raised: who calls shows it.)"""
    import prefect.main  # noqa: F401 - sets up the loggers that are changed here; prefect is lazy
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for name in ("prefect", "prefect._internal"):
        logger = logging.getLogger(name)
        logger.propagate, logger.handlers = False, [logging.NullHandler()]
    for handler in logging.getLogger().handlers:
        handler.setLevel(logging.WARNING)  # what other libraries tell in passing
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        for handler in logging.getLogger(name).handlers:
            handler.addFilter(_worth_reading)
    tells, logging.raiseExceptions = logging.raiseExceptions, False  # of lines it cannot send
    try:
        yield
    finally:
        for worker in (APILogWorker, EventsWorker):
            worker.drain_all(timeout=DRAIN_TIMEOUT_S)
        logging.raiseExceptions = tells


def _worth_reading(record: logging.LogRecord) -> bool:
    """Two lines for every hook of ours would bury the rest."""
    return not str(record.msg).startswith(NOISE)
