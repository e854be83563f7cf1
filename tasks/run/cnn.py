"""A plain CNN from its file. Apart from :mod:`tasks.run.modules`, which devices import."""

from __future__ import annotations

from models.baselines.cnn import PlainCNN
from tasks.run.store import Ref, put_tensors, read_tensors


def load_cnn(ref: Ref) -> PlainCNN:
    """The plain CNN that a file holds. Raises ArtifactError if the file is missing or
    damaged."""
    state, values = read_tensors(ref)
    cnn = PlainCNN(values["channels"], values["classes"])
    cnn.load_state_dict(state)
    return cnn.eval()


def put_cnn(cnn: PlainCNN) -> Ref:
    """Keep a plain CNN; :func:`load_cnn` reads it."""
    first = next(cnn.parameters())
    shape = {"channels": first.shape[1], "classes": cnn.head.out_features}
    return put_tensors("cnn", cnn.state_dict(), shape)
