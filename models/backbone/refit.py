"""A linear header of a variant's own: what it knows, whoever's header it was trained with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.backbone.training import scores

STRENGTH = 0.005
"""C of scikit-learn: the weight of the data beside that of small weights. At .1 a few hundred
dimensions fit some thousand samples by heart."""
MOST_STEPS = 300


@dataclass(frozen=True)
class Read:
    """What a reference header reads ``(n, dim)`` of some inputs, and their labels ``(n,)``."""

    pooled: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Refit:
    """Mean cross-entropy and accuracy of a refitted header on validation samples."""

    loss: float
    accuracy: float


def refit(train: Read, val: Read, classes: int) -> Refit:
    """Multinomial logistic regression on what the reference header reads, standardised; a class
    that ``train`` lacks is never answered. It has one solution: nothing is drawn."""
    from sklearn.linear_model import LogisticRegression

    mean, std = train.pooled.mean(0), train.pooled.std(0) + 1e-6
    x, held_out = (((read.pooled - mean) / std).double().numpy() for read in (train, val))
    known = train.labels.unique()
    logits = torch.full((len(val.labels), classes), -50.0, dtype=torch.float64)
    if len(known) == 1:
        logits[:, known] = 0.0
    else:
        model = LogisticRegression(C=STRENGTH, max_iter=MOST_STEPS).fit(x, train.labels.numpy())
        logits[:, known] = torch.from_numpy(model.predict_log_proba(held_out)).clamp(min=-50)
    return Refit(*scores(logits, val.labels))
