"""How well an attack does, and what is learned from shadow devices: ones that the attacker made of
public data, so that it knows the truth of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
PENALTIES = np.logspace(-1, 5, 13)
LEAST_SPREAD = 1e-9


def area(scores: Values, truth: NDArray[np.bool_]) -> float | None:
    """The chance that a true case scores above a false one (the area under the ROC curve): 1 is
    certain, 0.5 a guess; None where there are not both."""
    from sklearn.metrics import roc_auc_score

    if truth.all() or not truth.any():
        return None
    return float(roc_auc_score(truth, scores))


def learned(vectors: Values, targets: Values) -> Callable[[Values], Values]:
    """What messages say of something, by ridge regression on those of shadows; the penalty is the
    one by which each shadow is best told from the others.

    Args:
        vectors: of the shadows' messages ``(shadows, values)``.
        targets: what is known of them ``(shadows, targets)``.

    Returns:
        messages ``(n, values)`` -> guesses ``(n, targets)``.
    """
    from sklearn.linear_model import RidgeCV

    mean, spread = vectors.mean(0), vectors.std(0)
    moves = spread > LEAST_SPREAD
    scale = np.sqrt(max(1, moves.sum())) * spread[moves]

    def scaled(values: Values) -> Values:
        found: Values = (values - mean)[:, moves] / scale
        return found

    model = RidgeCV(PENALTIES / len(vectors)).fit(scaled(vectors), targets)
    return lambda values: model.predict(scaled(values))


def weighed(evidence: Values, truth: NDArray[np.bool_]) -> Callable[[Values], Values]:
    """How evidence ``(n, kinds)`` speaks for a sample's being among a device's, by logistic
    regression on shadows' samples.

    Returns:
        evidence ``(n, kinds)`` -> scores ``(n,)``.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(evidence, truth)
    return lambda values: model.decision_function(values)
