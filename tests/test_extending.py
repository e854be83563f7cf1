"""Each thing that docs/extending.md adds works as the page says, and is gone afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.run.errors import SettingsError
from tasks.settings.names import require_known
from tasks.settings.params import Settings, load
from tests.pages import ROOT, follow, sections

PARAMS = ROOT / "params.yaml"


@pytest.fixture
def settings() -> Settings:
    return load(PARAMS)


def test_every_section_is_one_file_and_one_line() -> None:
    for heading, blocks in sections().items():
        assert [block.registry is None for block in blocks] == [True, False], heading


def test_an_aggregation(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.refinement.aggregation import aggregate
    from models.refinement.mixers import mixing_weights

    recipe = replace(settings.refinement, method="nearest")
    changed = settings.model_copy(update={"refinement": recipe})
    with pytest.raises(SettingsError, match=r"unknown refinement.method 'nearest'"):
        require_known(changed, PARAMS)
    follow("An aggregation", tmp_path, monkeypatch)
    require_known(changed, PARAMS)
    random = np.random.default_rng(0)
    samples = [random.normal(at, 0.1, (20, 3)) for at in (0, 0.2, 5, 5.3)]
    _, weights = mixing_weights(recipe, samples)
    assert weights.tolist() == [[0.5, 0.5, 0, 0]] * 2 + [[0, 0, 0.5, 0.5]] * 2
    assert aggregate(np.eye(4), weights)[0].tolist() == [0.5, 0.5, 0, 0]
