"""The timer against a call of known length."""

from __future__ import annotations

import time
from statistics import median

import torch
from torch import Tensor

from tasks.run.latency import seconds_a_call


def test_single_calls_are_timed_after_others_that_warm_up() -> None:
    calls: list[Tensor] = []

    def slow(example: Tensor) -> None:
        calls.append(example)
        time.sleep(0.01)

    times = seconds_a_call(slow, torch.ones(2), 3)
    assert len(times) == 3 < len(calls)
    assert 0.01 <= median(times) < 0.1


def test_calls_are_repeated_for_as_long_as_asked_on_the_threads_of_now() -> None:
    threads = set()
    times = seconds_a_call(lambda _: threads.add(torch.get_num_threads()), torch.ones(2), 2, 1e-4)
    assert len(times) > 2
    assert sum(times) >= 1e-4
    assert threads == {torch.get_num_threads()}
