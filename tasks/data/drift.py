"""Whether a device's data still look as they did when its model was trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from annotated_types import Gt

from tasks.data import suite
from tasks.data.histograms import by_chance, edges, observed
from tasks.data.modality import DataInfo
from tasks.links.records import DataFacts
from tasks.run.errors import ValidationError
from tasks.run.store import Ref


@dataclass(frozen=True)
class Thresholds:
    """The most that a histogram may have moved, as KL divergence in nats, before it is drift; what
    chance alone moves comes on top."""

    label_kl: Annotated[float, Gt(0)] = 0.05  # of the shares of the classes
    brightness_kl: Annotated[float, Gt(0)] = 0.1  # of the images' brightness
    language_kl: Annotated[float, Gt(0)] = 0.1  # of what betrays the texts' language


def check(
    now: Ref, then: DataFacts, info: DataInfo, thresholds: Thresholds, out: Path
) -> dict[str, float]:
    """Run the suite ``device`` on a device's data; leave its result and Data Docs in ``out``. Only
    whether and how far they drifted leaves the device.

    Returns:
        Of each histogram that drifted, its KL divergence in nats.

    Raises:
        ValidationError: the data are not fit to train on.
    """
    labels, looks = observed(now, info)
    classes, look = info.classes, info.look
    frame = pd.DataFrame({"label": labels, look: looks})
    parameters = {
        "look": look,
        "classes": list(range(len(classes))),
        "label_reference": {"values": list(range(len(classes))), "weights": list(then.labels)},
        "look_reference": {"bins": edges(info).tolist(), "weights": list(then.looks)},
        "label_kl": thresholds.label_kl + by_chance(len(classes), len(frame)),
        "look_kl": getattr(thresholds, f"{look}_kl") + by_chance(info.bins, len(frame)),
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


def _is_drift(result: dict[str, Any]) -> bool:
    return bool((result["expectation_config"].get("meta") or {}).get("drift"))


def _notes(result: dict[str, Any]) -> str:
    config = result["expectation_config"]
    return str(config.get("notes") or f"{config['type']} on {config['kwargs'].get('column')}")
