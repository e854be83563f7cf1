"""Numbers of things, in words."""

from __future__ import annotations

import platform

import pytest

from tasks.run.compute import Machine, hardware
from tasks.run.words import counted


@pytest.mark.parametrize(
    ("count", "noun", "words"),
    [
        (1, "thread", "1 thread"),
        (0, "thread", "0 threads"),
        (12_000, "class folder", "12,000 class folders"),
        (2, "other class", "2 other classes"),
    ],
)
def test_one_is_no_plural(count: int, noun: str, words: str) -> None:
    assert counted(count, noun) == words


@pytest.mark.parametrize(("threads", "words"), [(1, "1 thread"), (2, "2 threads")])
def test_the_machine_of_a_latency_is_named_so(threads: int, words: str) -> None:
    assert hardware(Machine("cpu", threads)) == f"{platform.machine()} CPU, {words}"
