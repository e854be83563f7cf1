"""What a device remembers of the data that its model was trained on. It stays on the device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from tasks.data.histograms import edges, observed, shares
from tasks.data.modality import DataInfo
from tasks.links.records import DataFacts
from tasks.run.files import write_json
from tasks.run.store import Ref
from tasks.run.written import read_written_json

REMEMBERED = "trained_on.json"


def describe(device: str, samples: Ref, info: DataInfo) -> DataFacts:
    """The histograms of a device's data."""
    labels, looks = observed(samples, info)
    counts, _ = np.histogram(looks, edges(info))
    by_class = np.bincount(labels, minlength=len(info.classes))
    return DataFacts(device, samples.sha256, shares(by_class), shares(counts))


def remember(folder: Path, facts: DataFacts) -> None:
    """Keep, in its ``folder``, what a device's new model was trained on."""
    write_json(folder / REMEMBERED, vars(facts))


def trained_on(
    folder: Path, device: str, samples_sha256: str | None, known: Sequence[DataFacts]
) -> DataFacts | None:
    """What the device remembers of the data with this hash, if it still does: from the last
    customization (``known``) or from when it was refined alone."""
    facts = [f for f in known if f.device == device]
    own = folder / device
    if (own / REMEMBERED).exists():
        found = read_written_json(own, REMEMBERED)
        facts.append(TypeAdapter(DataFacts).validate_python(found))
    return next((f for f in facts if f.samples_sha256 == samples_sha256), None)
