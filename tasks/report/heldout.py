"""The one reader of test splits, and of samples that nobody was given. A contract keeps it from all
that choose and train, so that nothing is reported on what it was chosen by."""

from __future__ import annotations

from functools import lru_cache

from torch import Tensor

from models.backbone.features import extract
from models.header.split import Split
from tasks.data.modality import DataInfo
from tasks.data.samples import TEST, UNUSED, pixels_and_labels
from tasks.run.compute import Machine
from tasks.run.modules import load_backbone
from tasks.run.store import Ref, read_tensors

REMEMBERED = 4
"""Splits as backbones see them: reports ask twice about each, one cluster after the other."""


def test_split(samples: Ref, info: DataInfo) -> tuple[Tensor, Tensor]:
    """What an owner held out, as backbones take it (images standardised); int64 labels.

    Raises:
        ArtifactError: the file is missing or damaged, or has no such split.
    """
    return pixels_and_labels(samples, TEST, info)


@lru_cache(maxsize=REMEMBERED)
def test_seen(samples: Ref, backbone: Ref, info: DataInfo, machine: Machine) -> Split:
    """What a backbone makes of what an owner held out. Raises as :func:`test_split`."""
    inputs, labels = test_split(samples, info)
    return Split.of(extract(load_backbone(backbone).to(machine.prepare()), inputs), labels)


def unused_split(samples: Ref, info: DataInfo) -> tuple[Tensor, Tensor]:
    """The same of a context's samples that nobody was given."""
    return pixels_and_labels(samples, UNUSED, info)


def test_count(samples: Ref) -> int:
    """How many samples an owner held out."""
    return len(read_tensors(samples)[0][f"{TEST}_labels"])
