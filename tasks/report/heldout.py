"""The one reader of test splits, and of samples that nobody was given. A contract keeps it from all
that choose and train, so that nothing is reported on what it was chosen by."""

from __future__ import annotations

from torch import Tensor

from tasks.data.modality import DataInfo
from tasks.data.samples import TEST, UNUSED, pixels_and_labels
from tasks.run.store import Ref, read_tensors


def test_split(samples: Ref, info: DataInfo) -> tuple[Tensor, Tensor]:
    """What an owner held out, as backbones take it (images standardised); int64 labels.

    Raises:
        ArtifactError: the file is missing or damaged, or has no such split.
    """
    return pixels_and_labels(samples, TEST, info)


def unused_split(samples: Ref, info: DataInfo) -> tuple[Tensor, Tensor]:
    """The same of a context's samples that nobody was given."""
    return pixels_and_labels(samples, UNUSED, info)


def test_count(samples: Ref) -> int:
    """How many samples an owner held out."""
    return len(read_tensors(samples)[0][f"{TEST}_labels"])
