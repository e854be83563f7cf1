"""A data set as arrays, and the hashes by which its samples are told apart."""

from __future__ import annotations

import hashlib
import itertools
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.data.skipped import Skipped

ALL = "all"
"""The one context of a source that tells of none."""
Images = NDArray[np.uint8]
"""``(n, channels, height, width)``."""
Texts = NDArray[np.object_]
"""``(n,)``, each a str."""
Samples = NDArray[Any]
"""Images or texts."""
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Owned:
    """What a device brings itself, with the place of each sample (``files``). ``splits`` are
    positions in :data:`tasks.data.rows.SPLITS` (None: nothing is told of them), ``context`` one in
    the data set's contexts."""

    samples: Samples
    labels: Labels
    files: Sequence[Path | str]
    splits: Labels | None = None
    context: int | None = None

    def learned(self, names: Sequence[str]) -> frozenset[str]:
        """Of the classes with such ``names``, those of the samples that are not told to be tested
        on."""
        labels = self.labels if self.splits is None else self.labels[self.splits != 2]
        return frozenset(names[label] for label in labels)


Brought = Mapping[int, Owned]
"""What devices bring themselves, by their ids."""


@dataclass(frozen=True)
class Dataset:
    """A data set with the source's own train and test splits, and what was not read of it.

    ``contexts`` are the names of those that the source tells of, and ``train_contexts`` and
    ``test_contexts`` each sample's position in them (None: it tells of none).

    Where a source says whose samples are whose, ``brought`` is what devices have, all else is the
    cloud's, and ``public_contexts`` are the positions of that part's (None: all).

    Of texts that are translations of those of one context, that is the ``pivot`` (its position),
    and ``train_parallel`` holds beside each train sample the same text in it, or the sample itself
    where there is none.
    """

    train_samples: Samples
    train_labels: Labels
    test_samples: Samples
    test_labels: Labels
    classes: tuple[str, ...]
    contexts: tuple[str, ...] = (ALL,)
    train_contexts: Labels | None = None
    test_contexts: Labels | None = None
    skipped: Skipped = field(default_factory=Skipped)
    brought: Brought | None = None
    public_contexts: tuple[int, ...] | None = None
    train_parallel: Texts | None = None
    pivot: int | None = None


@dataclass(frozen=True)
class Wanted:
    """How a data set should be read: square images of ``image_size`` pixels with 1 (grey) or 3
    (colour) channels; ``seed`` and ``test_fraction`` are for one that has no test split.
    ``context_folders``: whether class folders lie below a folder a context. ``manifest``: the name
    of the file that lists the samples, of a source that has one, and ``kind`` what these must be
    (``image``, ``text``); None: either. ``met``: ids of devices and names of classes that they
    want, of which they may bring samples to test on alone."""

    image_size: int
    channels: int
    seed: int
    test_fraction: float
    context_folders: bool = False
    manifest: str = "manifest.csv"
    kind: str | None = None
    met: frozenset[tuple[int, str]] = frozenset()


def content_hashes(samples: Iterable[Any]) -> NDArray[np.str_]:
    """sha256 of every image's bytes, or of every text's letters however they are spelt (Unicode's
    NFC or NFD) ``(n,)``."""
    return np.array([hashlib.sha256(_content(sample)).hexdigest() for sample in samples])


def _content(sample: Any) -> bytes:
    if isinstance(sample, str):
        return unicodedata.normalize("NFC", sample).encode()
    content: bytes = sample.tobytes()
    return content


def texts_of(values: Iterable[str]) -> Texts:
    """Texts as a data set holds them."""
    found = list(values)
    texts = np.empty(len(found), object)
    texts[:] = found
    return texts


def first_occurrences(*hashes: NDArray[np.str_]) -> list[NDArray[np.int64]]:
    """Per array, the positions of contents that appear neither earlier in it nor in an array
    before it: a sample that lies in two splits would leak from one into the other."""
    _, first = np.unique(np.concatenate(hashes), return_index=True)
    ends = np.cumsum([0, *(len(h) for h in hashes)])
    first.sort()
    return [first[(first >= a) & (first < b)] - a for a, b in itertools.pairwise(ends)]
