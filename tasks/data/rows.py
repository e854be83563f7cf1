"""Rows of the partition's manifest, and the samples that they are of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.data.plan import Index

COLUMNS = ["sample_id", "sha256", "label", "owner", "tier", "split", "shared_by", "context"]
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Source:
    """Labels and content hashes of one split of the source; ``usable`` are the positions that may
    be given out (contents that appeared before are left out); ``contexts`` are positions in the
    contexts' names, None where the source tells of none. ``told`` are positions in :data:`SPLITS`
    of what a device brings, None where nothing is told of them."""

    split: str
    labels: NDArray[np.int64]
    sha256: NDArray[np.str_]
    usable: Index
    contexts: Index | None = None
    told: Index | None = None

    def cells(self, classes: int) -> Index:
        """The cell of each sample."""
        return self.labels if self.contexts is None else self.contexts * classes + self.labels


def rows_of(
    source: Source, index: Index, owner: str, tier: str, split: str, shared_by: str | None = None
) -> pd.DataFrame:
    """Those of the samples at some positions, but for their context."""
    return pd.DataFrame(
        {
            "sample_id": [f"{source.split}-{i:06d}" for i in index],
            "sha256": source.sha256[index],
            "label": source.labels[index],
            "owner": owner,
            "tier": tier,
            "split": split,
            "shared_by": pd.Series([shared_by] * len(index), dtype="object"),
        }
    )


def position(sample_id: str) -> tuple[str, int]:
    """The source's split and the position in it that a sample id names."""
    split, _, index = sample_id.partition("-")
    return split, int(index)


def places(labels: NDArray[np.int64]) -> Index:
    """Each position's place among those of its class."""
    place = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        mine = labels == label
        place[mine] = np.arange(mine.sum())
    return place
