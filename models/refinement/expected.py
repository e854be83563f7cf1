"""What a device may expect of its peers before it tells them anything."""

from __future__ import annotations

from models.header.split import Split

OF_MISSING = 0.3
"""Accuracy on classes that a device wants and has no samples of, from peers that have some."""
OF_SEEN, AS_GOOD_AS = 0.3, 12
"""Accuracy on the others: it falls as a device has more samples, by half at so many a class."""
PAYS = 0.005
"""Accuracy, of which less is not worth a message."""


def expected_gain(train: Split) -> float:
    """The gain in accuracy, over the same steps alone, that a device expects of alike peers: by how
    many of its classes it has no samples of, and how many samples of each of the others.

    The constants were read off the experiments (docs/exchange.md says how often the outcome agrees)
    and are of no data set alone: images and texts. Whether there are alike peers it cannot know
    before anybody has said something.
    """
    own = len(train.labels.unique())
    lacking = 0 if train.wanted is None else len(train.wanted)
    of_seen = OF_SEEN / (AS_GOOD_AS + len(train.labels) / own)
    return (lacking * OF_MISSING + own * of_seen) / (lacking + own)
