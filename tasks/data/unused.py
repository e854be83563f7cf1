"""Samples that nobody was given: only the ceiling of a report learns from them, what a device would
reach had it more of its own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from tasks.data.contexts import Contexts
from tasks.data.plan import Index
from tasks.data.rows import Source

UNUSED = 4  # name of a random stream, beside those of tasks.data.plan


def unused(
    train: Source, manifest: pd.DataFrame, contexts: Contexts, count: int, seed: int
) -> Mapping[int, Index]:
    """For each context that devices have, at most ``count`` positions of the train split that no
    row of the manifest names, by seed: as many of each class, as long as there are some, since what
    devices are tested on is dealt by class. What sensors make is drawn for each context anew."""
    taken = manifest.loc[manifest["sample_id"].str.startswith(f"{train.split}-"), "sample_id"]
    free = np.setdiff1d(train.usable, taken.str.rpartition("-")[2].astype(np.int64))
    found = {}
    for name in sorted(set(manifest.loc[manifest["tier"] == "device", "context"])):
        context = contexts.names.index(name)
        natural = train.contexts is not None and not contexts.made
        mine = free[train.contexts[free] == context] if natural else free  # type: ignore[index]
        stream = np.random.default_rng([seed, UNUSED, context])
        drawn = stream.permutation(mine)
        turn = pd.Series(drawn).groupby(train.labels[drawn]).cumcount()  # of its class
        found[context] = drawn[np.argsort(turn, kind="stable")][:count]
    return found


def rows_of(train: Source, index: Index, context: str) -> pd.DataFrame:
    """Those positions as rows of a manifest, as far as reading them needs."""
    names = [f"{train.split}-{i:06d}" for i in index]
    return pd.DataFrame({"sample_id": names, "sha256": train.sha256[index], "context": context})
