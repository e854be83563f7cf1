"""How long steps show where they are: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from models.progress import OnStep
from tasks.run.log import LOG

LINE_EVERY_S = 10.0


@contextmanager
def progress(title: str) -> Iterator[OnStep]:
    """An ``on_step`` that draws a bar named ``title`` on standard error while the block runs;
    the run's log has its end."""
    start, last = time.monotonic(), ""
    with _bar(title) if sys.stderr.isatty() else _lines(title) as show:

        def on_step(done: int, total: int, metrics: dict[str, float]) -> None:
            nonlocal last
            last = f"{done}/{total} {_words(metrics)}"
            show(done, total, metrics)

        yield on_step
    LOG.info("%s: %s, %.0f s", title, last.strip(), time.monotonic() - start)


@contextmanager
def _bar(title: str) -> Iterator[OnStep]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[metrics]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None, metrics="")

        def on_step(done: int, total: int, metrics: dict[str, float]) -> None:
            bar.update(task, completed=done, total=total, metrics=_words(metrics))

        yield on_step


@contextmanager
def _lines(title: str) -> Iterator[OnStep]:
    start = last = time.monotonic()

    def on_step(done: int, total: int, metrics: dict[str, float]) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LINE_EVERY_S or done == total:
            last = now
            print(f"{title}: {done}/{total} {_words(metrics)}", file=sys.stderr, flush=True)

    yield on_step
    print(f"{title}: done in {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)


def _words(metrics: dict[str, float]) -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in metrics.items())
