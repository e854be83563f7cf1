"""What a liar says in place of the truth, and what that is judged to cost."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pandas as pd
import pytest
import torch

from models.refinement import differences, statistics
from models.refinement.exchanges import EXCHANGES
from tasks.experiments.liars.cells import COPIED, LIES, lied
from tasks.experiments.liars.claims import lost
from tasks.experiments.registry import EXPERIMENTS
from tasks.links.link import Message, Route, receive, send


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def statistics_of(device: str, seed: int) -> Message:
    stream = torch.Generator().manual_seed(seed)
    body = {
        "labels": torch.tensor([0, 2], dtype=torch.int16),
        "counts": torch.tensor([5, 6], dtype=torch.uint8),
        "means": torch.randint(-60, 60, (2, 4), generator=stream).to(torch.int8),
        "variance": torch.zeros(4, dtype=torch.int8),
    }
    return send("class_statistics", Route(device, "edge", 1), body)


def importance_of(device: str) -> Message:
    body = {"importance": torch.tensor([0.1, 0.2, 0.7])}
    return send("importance_set", Route(device, "edge", 1), body)


def test_a_lie_is_within_what_the_edge_admits_and_comes_by_the_liar_s_way() -> None:
    message, other = statistics_of("device-00", 0), statistics_of("device-01", 1)
    true = receive(message)[0]
    for lie in (*LIES, COPIED):
        told = lied(message, [other], lie)
        assert told.route == message.route
        body = receive(told, route=message.route)[0]
        assert statistics.check(body, 3, 4) is None
        assert not torch.equal(body["means"], true["means"]), lie
    inverted = receive(lied(message, [other], "inverted"))[0]
    assert torch.equal(inverted["means"], -true["means"])
    assert torch.equal(inverted["labels"], true["labels"])
    copied = receive(lied(message, [other], COPIED))[0]
    assert torch.equal(copied["means"], receive(other)[0]["means"])


def test_importance_that_lies_is_still_shares() -> None:
    for lie in LIES:
        [body, _] = receive(lied(importance_of("device-00"), [], lie))
        assert body["importance"].sum() == pytest.approx(1)
    inverted = receive(lied(importance_of("device-00"), [], "inverted"))[0]["importance"]
    assert inverted.argmax() == 0
    route = Route("device-00", "edge", 1)
    nothing = send("importance_set", route, {"importance": torch.zeros(0)})
    for lie in LIES:  # a linear header has no neurons that could go
        assert not len(receive(lied(nothing, [], lie))[0]["importance"])


def test_a_difference_that_lies_is_a_difference() -> None:
    body, _ = differences.packed([torch.tensor([0.5, -0.25])])
    message = send("header_difference", Route("device-00", "edge", 1), body)
    inverted = receive(lied(message, [], "inverted"))[0]
    torch.testing.assert_close(differences.unpacked(inverted), -differences.unpacked(body))
    huge = differences.unpacked(receive(lied(message, [], "x 1e6"))[0])
    assert huge.abs().min() > 1e3


def test_scores_stay_as_they_are() -> None:
    values = {"val_loss": 0.5, "val_accuracy": 0.5, "parameters": 9}
    message = send("metrics", Route("device-00", "edge", 1), values=values)
    assert lied(message, [], "inverted") is message


def rows(cost: float) -> pd.DataFrame:
    names = [name for name, how in EXCHANGES.items() if how.up]
    cells = product(range(3), (4, 5), names, (*LIES, COPIED), ("device-01", "device-02"))
    found = [
        {
            "seed": seed, "size": size, "exchange": name, "lie": lie, "device": device,
            "accuracy_honest": 0.8,
            "accuracy": 0.8 - (cost + seed / 1000 if (size, lie) == (5, "inverted") else 0.0),
        }
        for seed, size, name, lie, device in cells
    ]  # fmt: skip
    return pd.DataFrame(found)


@pytest.mark.parametrize(("cost", "verdict"), [(0.002, "holds"), (0.02, "fails")])
def test_the_lie_that_costs_most_is_judged(cost: float, verdict: str) -> None:
    claims = EXPERIMENTS["liars"].judge(rows(cost))
    assert [claim.id for claim in claims] == [
        f"liars.{name}" for name, how in EXCHANGES.items() if how.up
    ]
    for claim in claims:
        assert "one liar of 5 costs the others at most (inverted" in claim.claim
        assert [*claim.values.values()] == pytest.approx([cost, cost + 0.001, cost + 0.002])
        assert claim.verdict == verdict
    assert lost(rows(cost)).loc["weights", 4, "inverted"].max() == pytest.approx(0)


def test_it_is_drawn() -> None:
    figure = EXPERIMENTS["liars"].figure(rows(0.02))
    assert len(figure.axes) == len([how for how in EXCHANGES.values() if how.up])
