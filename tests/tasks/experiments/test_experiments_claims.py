"""The rule that turns numbers into verdicts, and what experiments say of known rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.experiments import paper
from tasks.experiments.claim import Claim
from tasks.experiments.grid import cells as grid
from tasks.experiments.grid import claims as of_grid
from tasks.experiments.headers import claims as of_headers
from tasks.experiments.registry import EXPERIMENTS
from tasks.experiments.results import Circumstances as How
from tasks.experiments.results import collect, publish
from tasks.experiments.scale import load_scale, settings_of
from tasks.links.records import Variant
from tasks.run.errors import SettingsError
from tasks.settings.params import load, merged
from tests.tiny import ROOT


@pytest.mark.parametrize(
    ("values", "paper_number", "better", "verdict"),
    [
        ((0.05, 0.051, 0.049), 0.04, "higher", "holds"),
        ((0.05, 0.051, 0.049), 0.06, "higher", "direction"),
        ((0.05, 0.051, 0.049), None, "higher", "holds"),
        ((0.05, -0.04, 0.02), 0.01, "higher", "fails"),
        ((-0.05, -0.051, -0.049), 0.01, "higher", "fails"),
        ((-0.05, -0.051, -0.049), -0.04, "lower", "holds"),
        ((0.5,), 0.1, "higher", "direction"),
        ((-0.5,), 0.1, "higher", "fails"),
    ],
)
def test_a_verdict_needs_the_whole_interval(values, paper_number, better, verdict) -> None:  # type: ignore[no-untyped-def]
    claim = Claim("x.y", "words", paper_number, dict(enumerate(values)), better)
    assert claim.verdict == verdict
    row = claim.row()
    assert row["ours_mean"] == pytest.approx(np.mean(values))
    assert len(row["ours_ci95"]) == 2
    assert row["seeds"] == list(range(len(values)))


def test_neutral_need_not_be_zero() -> None:
    assert Claim("x", "", None, {0: 0.52, 1: 0.53, 2: 0.54}, neutral=0.6).verdict == "fails"


def test_the_paper_s_score_is_the_one_that_it_plots() -> None:
    ours, others = of_grid._paper_score("ACME"), of_grid._paper_score("Greedy-Accuracy")
    assert ours == pytest.approx(0.2783, abs=2e-4)  # its inputs have four digits
    assert ours / others - 1 == pytest.approx(0.289, abs=1e-3)
    assert paper.mean_gain(paper.FIG7B, "nothing") is None


def variants() -> list[Variant]:
    return [
        Variant(w, d, 1 - 0.05 * w * d, 0.6 + 0.02 * w * d, int(1e4 * w * d), w * d, 10)
        for w in (0.5, 1.0)
        for d in (2, 4)
    ]


def matched(limit: int) -> pd.DataFrame:
    settings = load_settings()
    energy = [10.0, 20.0, 20.0, 40.0]
    test = [0.6, 0.7, 0.7, 0.75]
    seconds = {"shared": 1.0, "one_by_one": 4.0}
    scored = grid.Scored(variants(), test, energy, seconds)
    rows = grid.matching_rows(scored, settings.matching, limit, "e")
    return pd.DataFrame(rows).set_index("method")


def load_settings():  # type: ignore[no-untyped-def]
    from pathlib import Path

    return load(Path("params.yaml"))


def test_scores_are_normalised_over_the_whole_grid_for_every_method() -> None:
    table = matched(20_000)
    size, energy = (20_000 - 10_000) / 30_000, 10 / 30
    assert table.loc["Greedy-Accuracy", "plotted_score"] == pytest.approx(
        0.7 - 0.5 * (size + energy)
    )
    assert table.loc["Greedy-Size", "size_efficiency"] == pytest.approx(0.7 / 0.5)
    assert table.loc["Random", "test_accuracy"] == pytest.approx(2 / 3)  # of the three that fit
    assert table.loc["Greedy-Accuracy", "work_s"] >= 3  # three of four variants, one by one


def test_depth_and_spread_are_read_off_the_grid() -> None:
    rows = [
        {"seed": s, **row}
        for s in (0, 1, 2)
        for row in grid.grid_rows(variants(), [0.6, 0.7, 0.72, 0.75], [1.0] * 4)
    ]
    claims = {c.id: c for c in of_grid.fig1_claims(pd.DataFrame(rows))}
    assert claims["fig1.depth-gain"].values[0] == pytest.approx(0.03)
    assert claims["fig1.spread"].values[1] == pytest.approx(0.02)


def header_rows() -> pd.DataFrame:
    gains = {"searched": 0.05, "linear": 0.0, "mlp": 0.01, "cnn-project": 0.02, "mixer": 0.01}
    return pd.DataFrame(
        {
            "seed": seed,
            "width": width,
            "depth": depth,
            "header": kind,
            "total_parameters": width * depth * 1000,
            "test_accuracy": 0.5 + 0.05 * depth + gain,
        }
        for seed in range(3)
        for width in (0.5, 1.0)
        for depth in (2, 4)
        for kind, gain in gains.items()
    )


def test_headers_are_paired_by_seed_and_backbone() -> None:
    claims = {c.id: c for c in of_headers.fig7b_claims(header_rows())}
    assert claims["fig7b.over-linear"].values == {s: pytest.approx(0.05) for s in range(3)}
    assert claims["fig7b.all"].values[2] == pytest.approx(0.04)
    smaller = of_headers.points_of(header_rows(), "small").to_numpy().tolist()
    assert smaller == [[0.5, 2], [0.5, 4]] or smaller == [[0.5, 2], [1.0, 2]]


def test_what_is_published_is_collected(tmp_path) -> None:  # type: ignore[no-untyped-def]
    how = How("quick", "acme evaluate", "CPU", "abc", 1.0)
    claims = publish(tmp_path, "fig8", header_rows().to_dict("records"), how)
    assert [c.id for c in claims] == [row["id"] for row in collect(tmp_path, "quick")]
    assert collect(tmp_path, "default") == []
    assert (tmp_path / "fig8.png").read_bytes().startswith(b"\x89PNG")
    assert len(pd.read_csv(tmp_path / "fig8.csv")) == len(header_rows())


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_has_its_flow_its_claims_and_its_picture(name: str) -> None:
    from flows.experiments.by_name import flow_of

    assert flow_of(name).name == name  # type: ignore[attr-defined]
    assert callable(EXPERIMENTS[name].judge)
    assert callable(EXPERIMENTS[name].figure)


@pytest.mark.parametrize("name", ["quick", "default"])
def test_scales_are_valid_on_top_of_the_shipped_settings(name: str) -> None:
    from pathlib import Path

    scale = load_scale(name, ROOT / "evaluation")
    assert settings_of(scale, 3, Path("params.yaml")).seed == 3
    digits = settings_of(scale, 0, Path("params.yaml"), **scale.digits)
    assert digits.data.image_size == 8
    assert len(scale.refining.groups) <= settings_of(scale, 0, Path("params.yaml")).partition.slots


def test_an_unknown_scale_is_named() -> None:
    with pytest.raises(SettingsError, match="unknown scale 'huge'"):
        load_scale("huge", ROOT / "evaluation")


def test_overlays_merge_where_both_are_mappings() -> None:
    assert merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 5}, "d": {"e": 1}}) == {
        "a": {"b": 5, "c": 2},
        "d": {"e": 1},
    }
