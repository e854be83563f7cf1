"""What a device's data looked like when its model was trained, and whether they still do.

Both stay on the device: a histogram of its labels and of its images' brightness, over its train
and val splits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.data import suite
from tasks.errors import ValidationError
from tasks.records import DataFacts
from tasks.store import Ref, read_tensors

BINS = 8  # of brightness, from black to white


@dataclass(frozen=True)
class Thresholds:
    """The most that a histogram may have moved, as KL divergence in nats, before it is drift; what
    chance alone moves (:func:`by_chance`) comes on top."""

    label_kl: float
    brightness_kl: float


def describe(device: str, samples: Ref, classes: int) -> DataFacts:
    """The histograms of a device's data. A little is added to every count, so that a class or a
    brightness that turns up later is drift and not a division by zero."""
    frame = _frame(samples)
    labels = np.bincount(frame["label"], minlength=classes)
    brightness, _ = np.histogram(frame["brightness"], _edges())
    return DataFacts(device, samples.sha256, _shares(labels), _shares(brightness))


def check(
    now: Ref, then: DataFacts, classes: Sequence[str], thresholds: Thresholds, out: Path
) -> dict[str, float]:
    """Run the suite ``device`` on a device's data; leave its result and Data Docs in ``out``.

    Returns:
        Of each histogram that drifted, its KL divergence in nats.

    Raises:
        ValidationError: the data are not fit to train on.
    """
    frame = _frame(now)
    parameters = {
        "classes": list(range(len(classes))),
        "label_reference": {"values": list(range(len(classes))), "weights": list(then.labels)},
        "brightness_reference": {"bins": _edges().tolist(), "weights": list(then.brightness)},
        "label_kl": thresholds.label_kl + by_chance(len(classes), len(frame)),
        "brightness_kl": thresholds.brightness_kl + by_chance(BINS, len(frame)),
    }
    result = suite.run("device", frame, suite.load("device", parameters), out)
    failed = [r for r in result["results"] if not r["success"]]
    broken = [_notes(r) for r in failed if not _is_drift(r)]
    if broken:
        raise ValidationError(
            f"{then.device}: its data break {len(broken)} expectation(s): {'; '.join(broken)}. "
            f"Details: {out / 'validation.json'}"
        )
    return {
        r["expectation_config"]["kwargs"]["column"]: float(r["result"]["observed_value"])
        for r in failed
    }


def by_chance(bins: int, samples: int) -> float:
    """The KL divergence in nats that 99 of 100 samples of an unchanged histogram stay below: twice
    their number times it is about chi-squared."""
    from scipy.stats import chi2

    return float(chi2.ppf(0.99, bins - 1) / (2 * samples))


def _frame(samples: Ref) -> pd.DataFrame:
    tensors, _ = read_tensors(samples)
    images = np.concatenate([tensors[f"{s}_images"].numpy() for s in ("train", "val")])
    labels = np.concatenate([tensors[f"{s}_labels"].numpy() for s in ("train", "val")])
    return pd.DataFrame({"label": labels, "brightness": images.mean((1, 2, 3)) / 255})


def _edges() -> NDArray[np.float64]:
    return np.linspace(0, 1, BINS + 1)


def _shares(counts: NDArray[Any]) -> tuple[float, ...]:
    smoothed = counts + 0.1
    return tuple(float(x) for x in smoothed / smoothed.sum())


def _is_drift(result: dict[str, Any]) -> bool:
    return bool((result["expectation_config"].get("meta") or {}).get("drift"))


def _notes(result: dict[str, Any]) -> str:
    config = result["expectation_config"]
    return str(config.get("notes") or f"{config['type']} on {config['kwargs'].get('column')}")
