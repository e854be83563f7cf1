"""The data sets that settings may name. Cheap to import: the command line offers them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """A data set, which ``tasks/data/sources/<its name, with _ for ->.py`` fetches and reads.

    Attributes:
        image_size: pixels a side, as new settings have it; None: as the user's images have.
        channels: 1 (grey) or 3 (colour), or None likewise.
        brought: whether the user brings the files, a folder a class, so that none is fetched.
    """

    image_size: int | None = None
    channels: int | None = None
    brought: bool = False


SOURCES: dict[str, Source] = {
    "image-folder": Source(brought=True),
    "fashion-mnist": Source(image_size=28, channels=1),
    "cifar100": Source(image_size=32, channels=3),
}
