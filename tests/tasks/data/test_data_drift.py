"""What counts as drift, and what is chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks.data import drift
from tasks.data.histograms import by_chance
from tasks.data.samples import read_info, samples_ref
from tasks.device.drifted import describe
from tasks.run.errors import ValidationError
from tasks.run.store import put_tensors, read_tensors
from tasks.settings.case import Case


def test_labels_and_brightness_that_moved_are_drift(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    place = Case(finished).partition
    limits, info = drift.Thresholds(0.05, 0.1), read_info(place)
    here, there = samples_ref("device-00", place), samples_ref("device-01", place)
    facts = describe("device-00", here, info)
    assert sum(facts.labels) == pytest.approx(1)
    assert drift.check(here, facts, info, limits, tmp_path / "a") == {}
    moved = drift.check(there, facts, info, limits, tmp_path / "b")
    assert moved["label"] > 0.05
    tensors, _ = read_tensors(here)
    dark = {k: v // 4 if k.endswith("images") else v for k, v in tensors.items()}
    assert set(drift.check(put_tensors("samples", dark), facts, info, limits, tmp_path / "c")) == {
        "brightness"
    }
    wrong = {k: v.clone().fill_(77) if k == "val_labels" else v for k, v in tensors.items()}
    with pytest.raises(ValidationError, match="every label is a known class"):
        drift.check(put_tensors("samples", wrong), facts, info, limits, tmp_path / "d")
    assert (tmp_path / "d/data_docs/index.html").exists()


def test_chance_alone_is_seldom_drift() -> None:

    rng, shares = np.random.default_rng(0), np.full(10, 0.1)
    counts = rng.multinomial(200, shares, size=2000) / 200
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = np.nansum(counts * np.log(counts / shares), 1)
    assert 0.97 < (moved < by_chance(10, 200)).mean() < 1
