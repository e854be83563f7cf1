"""What a device may expect of its peers before it tells them anything."""

from __future__ import annotations

from models.header.split import Split

OF_MISSING = 0.4
"""Accuracy on classes that a device wants and has no samples of, from peers that have some."""
OF_SEEN = 0.28
"""Accuracy on a class that it has one sample of; of more it is less, by their number."""
PAYS = 0.005
"""Accuracy, of which less is not worth a message."""


def expected_gain(train: Split) -> float:
    """The gain in accuracy, over the same steps alone, that a device expects of alike peers: by how
    many of its classes it has no samples of, and how many samples of each of the others.

    The constants were read off one draw behind sensors (seed 0 of the experiment ``contexts``);
    docs/exchange.md says how often what came agrees. Whether there are alike peers a device cannot
    know before anybody has said something.
    """
    own = len(train.labels.unique())
    lacking = 0 if train.wanted is None else len(train.wanted)
    of_seen = OF_SEEN * own / len(train.labels)
    return (lacking * OF_MISSING + own * of_seen) / (lacking + own)
