"""What each addition of docs/extending.md does. Run in a copy of the code that has them all, by
tests/test_extending.py: here its names are unknown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tasks.settings.names import require_known
from tasks.settings.params import load

PARAMS = Path(__file__).parents[1] / "params.yaml"


def test_an_aggregation() -> None:
    from models.refinement.aggregation import aggregate
    from models.refinement.mixers import mixing_weights

    settings = load(PARAMS)
    recipe = replace(settings.refinement, method="nearest")
    require_known(settings.model_copy(update={"refinement": recipe}), PARAMS)
    random = np.random.default_rng(0)
    samples = [random.normal(at, 0.1, (20, 3)) for at in (0, 0.2, 5, 5.3)]
    _, weights = mixing_weights(recipe, samples)
    assert weights.tolist() == [[0.5, 0.5, 0, 0]] * 2 + [[0, 0, 0.5, 0.5]] * 2
    assert aggregate(np.eye(4), weights)[0].tolist() == [0.5, 0.5, 0, 0]
