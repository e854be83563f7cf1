"""By what neurons are chosen that go: what is claimed of it, and its picture."""

from __future__ import annotations

from itertools import product

import pandas as pd
import pytest

from models.refinement.rankings import RANKINGS
from tasks.experiments.pruning.claims import lost
from tasks.experiments.registry import EXPERIMENTS

COST = {"importance": 0.01, "magnitude": 0.02, "random": 0.03, "first-order": 0.04}


def rows() -> pd.DataFrame:
    cells = product(range(3), (0.1, 0.5), RANKINGS, ("device-00", "device-01"))
    found = [
        {
            "seed": seed, "fraction": fraction, "prune_by": name, "device": device,
            "before": 0.8, "accuracy": 0.8 - 2 * fraction * COST[name] - seed / 1000,
            "neurons": 1 - fraction,
        }
        for seed, fraction, name, device in cells
    ]  # fmt: skip
    return pd.DataFrame(found)


def test_each_ranking_is_held_against_chance_where_most_goes() -> None:
    claims = {claim.id: claim for claim in EXPERIMENTS["prune"].judge(rows())}
    assert set(claims) == {f"prune.{name}" for name in RANKINGS if name != "random"}
    assert [*claims["prune.importance"].values.values()] == pytest.approx([0.02] * 3)
    assert claims["prune.importance"].verdict == "holds"
    assert claims["prune.first-order"].verdict == "fails"


def test_what_is_lost_is_a_mean_over_devices() -> None:
    assert lost(rows()).loc[(0.1, 2), "random"] == pytest.approx(0.006 + 0.002)


def test_it_is_drawn() -> None:
    [axis] = EXPERIMENTS["prune"].figure(rows()).axes
    assert {text.get_text() for text in axis.get_legend().get_texts()} == set(RANKINGS)
