"""The data sets that settings may name. Cheap to import: the command line offers them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class OwnCount:
    """What a device brings itself.

    Attributes:
        samples: how many, of all splits.
        learned: the classes that it has, less those that it wants and has samples of to be tested
            on alone: their names, or any words that tell them apart.
        val, tested: how many of them are told to be of these splits. One that none is told to be
            of is cut off from the others.
        context: the position of its context, where its samples tell it.
    """

    samples: int
    learned: frozenset[str]
    val: int = 0
    tested: int = 0
    context: int | None = None

    @property
    def classes(self) -> int:
        """Of how many classes it learns."""
        return len(self.learned)


@dataclass(frozen=True)
class Counts:
    """Samples of each class in the train and the test split, in the classes' order, which are
    numbers where ``names`` does not name them; of several contexts, those of each context in turn.
    ``other`` are files among them that are no samples.

    Of a source that says whose samples are whose: what each of the ``devices`` brings, by id, and
    the positions of the ``public_contexts``, which all other samples have. (None: devices may bring
    folders of their own, and all contexts are public.)"""

    train: tuple[int, ...]
    test: tuple[int, ...]
    names: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ("all",)
    other: tuple[str, ...] = ()
    devices: Mapping[int, OwnCount] | None = None
    public_contexts: tuple[int, ...] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        return self.names or tuple(map(str, range(len(self.train) // len(self.contexts))))


@dataclass(frozen=True)
class Source:
    """A data set, which ``tasks/data/sources/<its name, with _ for ->.py`` fetches and reads.

    Attributes:
        image_size: pixels a side, as new settings have it; None: as the user's images have.
        channels: 1 (grey) or 3 (colour), or None likewise.
        brought: whether the user brings the files, so that none is fetched.
        flip: whether a mirrored sample is as good, where the settings do not say. Of digits and
            letters it is not, so that it is off for what a user brings.
        counts: of its samples, where they are always the same.
        modality: what its samples are: ``image``, ``text``; None: as the user brings them, texts
            where the settings name an encoder.
    """

    image_size: int | None = None
    channels: int | None = None
    brought: bool = False
    flip: bool = False
    counts: Counts | None = None
    modality: str | None = "image"


SOURCES: dict[str, Source] = {
    "image-folder": Source(brought=True),
    "fashion-mnist": Source(28, 1, flip=True, counts=Counts(10 * (6000,), 10 * (1000,))),
    "cifar100": Source(32, 3, flip=True, counts=Counts(100 * (500,), 100 * (100,))),
    "manifest": Source(brought=True, modality=None),
    "package-descriptions": Source(modality="text"),
}
