"""docs/results.md and the README's table agree with the numbers they are generated from."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tasks.experiments import document
from tasks.experiments.claim import Claim
from tasks.experiments.registry import EXPERIMENTS
from tasks.run.errors import ArtifactError
from tasks.run.files import read_json, write_json
from tasks.run.written import write_sums

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / document.RESULTS


def runs() -> dict[str, dict]:  # type: ignore[type-arg]
    files = {name: RESULTS / f"{name}.json" for name in EXPERIMENTS}
    return {name: read_json(file) for name, file in files.items() if file.exists()}


def test_every_experiment_of_the_paper_has_results_of_at_least_three_seeds() -> None:
    assert {name for name, of in EXPERIMENTS.items() if not of.ours} <= set(runs())
    for name, run in runs().items():
        assert run["scale"] == "default"
        assert run["claims"]
        assert all(len(c["seeds"]) >= 3 and None not in c["ours_ci95"] for c in run["claims"])
        assert (RESULTS / f"{name}.png").exists()


def test_claims_and_verdicts_follow_from_the_tables() -> None:
    for name, run in runs().items():
        frame = pd.read_csv(RESULTS / f"{name}.csv")
        again = [claim.row() for claim in EXPERIMENTS[name].judge(frame)]
        assert [row["id"] for row in again] == [row["id"] for row in run["claims"]]
        for new, old in zip(again, run["claims"], strict=True):
            assert new["ours_mean"] == pytest.approx(old["ours_mean"], abs=1e-4), old["id"]
            assert new["verdict"] == old["verdict"], old["id"]


def test_the_pages_are_what_the_results_say() -> None:
    claims = [claim for run in runs().values() for claim in run["claims"]]
    assert read_json(RESULTS / "claims.json") == claims
    assert (ROOT / document.PAGE).read_text() == document.render(RESULTS)
    for page, parts in document.MARKED.items():
        text = (ROOT / page).read_text()
        assert text == document.with_tables(text, RESULTS, parts), page
    assert {id for id in document.HEADLINES} <= {claim["id"] for claim in claims}


def left(folder: Path, name: str, scale: str) -> None:
    claim = Claim(f"{name}.x", "something", 0.5, {0: 0.1, 1: 0.2, 2: 0.3}).row()
    how = {"command": "acme evaluate", "hardware": "CPU", "git_commit": "0" * 40, "wall_s": 1.0}
    write_json(folder / f"{name}.json", {"scale": scale, "claims": [claim], **how})
    (folder / f"{name}.csv").write_text("a\n1\n")
    (folder / f"{name}.png").write_bytes(b"png")
    write_sums(folder, [f"{name}.{suffix}" for suffix in ("csv", "json", "png")], part=name)


def test_a_run_is_published_and_older_results_stay(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for page, parts in document.MARKED.items():
        marks = (f"<!-- {part}: begin -->\nold\n<!-- {part}: end -->\n" for part in parts)
        (tmp_path / page).write_text("\n".join(["# x", *marks, "rest\n"]))
    left(tmp_path / "out", "fig9", "default")
    left(tmp_path / "out", "fig1", "quick")
    unchanged = document.publish_page(tmp_path / "out", tmp_path)
    assert "fig1" in unchanged
    assert "fig9" not in unchanged
    page = (tmp_path / document.PAGE).read_text()
    assert "| something (`fig9.x`) | 0.5000 | 0.2000 | -0.0484 to 0.4484 | 3 | fails |" in page
    assert "## Fig. 1:" not in page
    left(tmp_path / "later", "table1", "default")
    document.publish_page(tmp_path / "later", tmp_path)
    assert "fig9.x" in (tmp_path / document.PAGE).read_text()
    assert (tmp_path / "README.md").read_text().endswith("rest\n")


def test_nothing_to_publish_is_said(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no results at scale default"):
        document.publish_page(tmp_path, tmp_path)
    with pytest.raises(ArtifactError, match="marks"):
        document.with_tables("no marks", tmp_path, document.MARKED[document.README])
