"""What every model gets on a device in a comparison: its header tuned there, and judged."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from models.answers import answered
from models.backbone.batches import device_of
from models.backbone.training import restricted_accuracy, scores
from models.ranges import Answerable
from models.refinement.recipe import LocalTraining
from models.refinement.training import DeviceData, LocalSteps, fit_devices
from tasks.device.rounds import TUNING
from tasks.settings import params as settings


def tuned_alone(
    headers: Sequence[nn.Module],
    train: Sequence[DeviceData],
    recipe: settings.Refinement,
    seed: int,
) -> list[nn.Module]:
    """Every header tuned on its own device for as many steps as Alg. 2 takes, without pruning. The
    headers that are given stay as they are."""
    tuned, training = copy.deepcopy(list(headers)), recipe.part(LocalTraining)
    for t in range(1, recipe.rounds + 1):
        for steps, apart in ((recipe.steps, 0), (recipe.tuning_steps, TUNING)):
            seeds = [seed + 1000 * t + apart + i for i in range(len(tuned))]
            fit_devices(tuned, train, LocalSteps(steps, training, recipe.joint), seeds)
    return tuned


@torch.no_grad()
def mean_accuracy(
    headers: Sequence[nn.Module],
    test: Sequence[DeviceData],
    own: Sequence[DeviceData] | None = None,
    answers: Answerable = "wanted",
) -> float:
    """Mean over devices; with ``own``, their train splits, each ``answers`` these classes alone and
    those that it wants, or as is said."""
    found = []
    for i, (header, data) in enumerate(zip(headers, test, strict=True)):
        logits = header(*data.to(device_of(header)).inputs).cpu()
        if own is None:
            found.append(scores(logits, data.labels)[1])
        else:
            told = answered(answers, own[i].labels, own[i].wanted)
            found.append(restricted_accuracy(logits, data.labels, told))
    return float(np.mean(found))
