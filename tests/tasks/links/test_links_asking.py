"""An edge asks its devices: who answered, who did not and why, and that an answer counts once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from tasks.links.asking import Ask, Key, Link, Reply
from tasks.links.link import Message, Route, send
from tasks.run.errors import LinkError

pytestmark = pytest.mark.usefixtures("in_tmp")

RUN = "0" * 64
DEVICES = ["device-00", "device-01", "device-02"]


def importance(device: str, round: int = 1) -> Message:
    return send(
        "importance_set", Route(device, "edge-0", round, RUN), {"importance": torch.rand(3)}
    )


class Devices:
    """Devices that answer as they are told to; ``asked`` is who was asked, each time."""

    def __init__(self, answer: Callable[[Ask], Reply]) -> None:
        self.answer, self.asked = answer, list[list[str]]()

    def ask(self, asks: Sequence[Ask], deadline_s: float | None) -> list[Reply]:
        self.asked.append([ask.device for ask in asks])
        return [self.answer(ask) for ask in asks]


def link_to(answer: Callable[[Ask], Reply]) -> tuple[Link, Devices]:
    devices = Devices(answer)
    return Link("edge-0", devices), devices


def test_everybody_s_answers_come_back_in_order_and_are_counted() -> None:
    link, _ = link_to(lambda ask: (importance(ask.device),))
    answers = link.ask_all(DEVICES, "train", {}, Key(RUN, 1))
    assert [m.sender for m in answers.of("importance_set")] == DEVICES
    assert answers.failed == {}
    assert link.sent == answers.of("importance_set")


def test_who_failed_and_why_comes_back_by_name() -> None:
    link, _ = link_to(
        lambda ask: (
            "its battery is empty" if ask.device == DEVICES[1] else (importance(ask.device),)
        )
    )
    answers = link.ask_all(DEVICES, "train", {}, Key(RUN, 1), quorum=0.5)
    assert answers.failed == {DEVICES[1]: "its battery is empty"}
    assert set(answers.messages) == {DEVICES[0], DEVICES[2]}
    with pytest.raises(LinkError, match=r"2 of 3 devices.*device-01: its battery is empty"):
        link.ask_all(DEVICES, "train", {}, Key(RUN, 1))


def test_an_answer_is_given_and_counted_once() -> None:
    link, devices = link_to(lambda ask: (importance(ask.device),))
    first = link.ask_all(DEVICES[:2], "train", {}, Key(RUN, 1))
    again = link.ask_all(DEVICES, "train", {}, Key(RUN, 1))
    assert devices.asked == [DEVICES[:2], DEVICES[2:]]
    assert again.messages[DEVICES[0]] == first.messages[DEVICES[0]]
    assert len(link.sent) == 3


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (lambda: (importance("device-02"),), "answered for device-02"),
        (lambda: (importance("device-00", round=2),), "round 2"),
        (
            lambda: (send("feature_sketch", Route("device-00", "edge-0", 1, RUN), SKETCH),),
            "answered train with feature_sketch",
        ),
    ],
)
def test_what_was_not_asked_for_counts_as_no_answer(reply: Callable[[], Reply], why: str) -> None:
    link, _ = link_to(lambda ask: reply())
    answers = link.ask_all(DEVICES[:1], "train", {}, Key(RUN, 1), quorum=0.0)
    assert why in answers.failed[DEVICES[0]]
    assert link.sent == []


@pytest.mark.parametrize(("kind", "counts"), [("share", True), ("adopt", False)])
def test_who_has_nothing_to_share_has_answered(kind: str, counts: bool) -> None:
    link, _ = link_to(lambda ask: ())
    answers = link.ask_all(DEVICES, kind, {}, Key(), quorum=0.0)
    assert (answers.messages == dict.fromkeys(DEVICES, ())) == counts
    assert answers.failed == (
        {} if counts else dict.fromkeys(DEVICES, f"answered {kind} with nothing")
    )


SKETCH = {"features": torch.rand(2, 3).half()}


def test_a_body_that_does_not_go_with_a_question_is_refused() -> None:
    link, devices = link_to(lambda ask: ())
    with pytest.raises(LinkError, match="no importance_set goes with the question 'prune'"):
        link.ask_all(DEVICES[:1], "prune", {DEVICES[0]: importance(DEVICES[0])}, Key(RUN, 1))
    assert devices.asked == []
