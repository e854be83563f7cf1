"""The one reader of test splits. A contract keeps it from all that choose and train, so that
nothing is reported on what it was chosen by."""

from __future__ import annotations

from torch import Tensor

from tasks.data.modality import DataInfo
from tasks.data.samples import TEST, pixels_and_labels
from tasks.run.store import Ref, read_tensors


def test_split(samples: Ref, info: DataInfo) -> tuple[Tensor, Tensor]:
    """Standardised images ``(n, channels, height, width)`` and int64 labels that an owner held out.

    Raises:
        ArtifactError: the file is missing or damaged, or has no such split.
    """
    return pixels_and_labels(samples, TEST, info)


def test_count(samples: Ref) -> int:
    """How many samples an owner held out."""
    return len(read_tensors(samples)[0][f"{TEST}_labels"])
