"""A linear header of a variant's own: multinomial logistic regression."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from models.backbone.refit import STRENGTH, Read, refit


def blobs(count: int, classes: int, seed: int) -> Read:
    """Three dimensions, a place for each class, of quite other scales."""
    stream = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    places = torch.randn(classes, 3, generator=torch.Generator().manual_seed(9))
    x = 2 * places[labels] + torch.randn(count, 3, generator=stream)
    return Read(x * torch.tensor([1.0, 1e3, 1e-3]) + 5, labels)


def literal(train: Read, val: Read) -> float:
    """The loss on ``val`` of the weights that minimise C * sum of cross-entropies + |W|^2 / 2, by
    gradient descent."""
    mean, std = train.pooled.mean(0), train.pooled.std(0)
    x, held_out = ((read.pooled - mean) / std for read in (train, val))
    weight, bias = torch.zeros(4, 3, requires_grad=True), torch.zeros(4, requires_grad=True)
    for _ in range(4000):
        loss = STRENGTH * F.cross_entropy(x @ weight.T + bias, train.labels, reduction="sum")
        loss = loss + weight.pow(2).sum() / 2
        gradients = torch.autograd.grad(loss, [weight, bias])
        for value, gradient in zip((weight, bias), gradients, strict=True):
            with torch.no_grad():
                value -= 0.05 * gradient
    return F.cross_entropy(held_out @ weight.T + bias, val.labels).item()


def test_it_is_the_minimum_and_always_the_same() -> None:
    train, val = blobs(120, 4, 1), blobs(200, 4, 2)
    found = refit(train, val, 4)
    assert found == refit(train, val, 4)
    assert found.loss == pytest.approx(literal(train, val), abs=2e-3)
    assert found.accuracy > 0.6


def test_a_class_without_samples_is_never_answered() -> None:
    train, val = blobs(120, 4, 1), blobs(200, 4, 2)
    known = train.labels != 2
    found = refit(Read(train.pooled[known], train.labels[known]), val, 4)
    assert found.accuracy < refit(train, val, 4).accuracy
    assert math.isfinite(found.loss)
    one = refit(Read(train.pooled[train.labels == 1], train.labels[train.labels == 1]), val, 4)
    assert one.accuracy == pytest.approx(0.25)
