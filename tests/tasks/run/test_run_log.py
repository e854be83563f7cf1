"""The run's log hears what no terminal shows."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tasks.run.log import LOG
from tasks.run.progress import progress


class Kept(logging.Handler):
    """Keeps what is said, as Prefect's handler would send it."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept()
    LOG.addHandler(handler)
    yield handler
    LOG.removeHandler(handler)


def test_no_terminal_shows_the_log(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    LOG.info("a line")
    LOG.warning("a warning")
    assert kept.said == ["a line", "a warning"]
    assert capsys.readouterr() == ("", "")


def test_the_log_has_the_end_of_a_step(kept: Kept) -> None:
    with progress("cloud: distilling") as on_step:
        on_step(1, 2, {"loss": 2.0})
        on_step(2, 2, {"loss": 1.5})
    assert kept.said == ["cloud: distilling: 2/2 loss 1.5, 0 s"]
