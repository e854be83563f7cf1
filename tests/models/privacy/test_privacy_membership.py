"""Evidence that a sample was among those of a message."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.header.split import Split
from models.privacy.membership import (
    SHRINKAGE,
    Reference,
    importance_of_each,
    of_headers,
    of_means,
    of_points,
)
from models.privacy.scores import area
from models.refinement.importance import layer_names, neuron_importance
from models.refinement.sketches import quantiles, samples
from tests.models.refinement.made_up import fitted, world


def _clouds(count: int, seed: int, dim: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    stream = torch.Generator().manual_seed(seed)
    labels = torch.arange(3).repeat_interleave(count)
    centres = 3 * torch.randn(3, dim, generator=torch.Generator().manual_seed(99))
    return centres[labels] + torch.randn(3 * count, dim, generator=stream), labels


def test_a_reference_literally() -> None:
    values, labels = _clouds(20, 0, dim=2)
    found = Reference.of(values, labels)
    x, y = values.double().numpy(), labels.numpy()
    means = np.stack([x[y == c].mean(0) for c in range(3)])
    away = x - means[y]
    covariance = np.array([[(away[:, i] * away[:, j]).mean() for j in (0, 1)] for i in (0, 1)])
    usual = (covariance[0, 0] + covariance[1, 1]) / 2
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * usual * np.eye(2)
    np.testing.assert_allclose(found.means, means, atol=1e-6)
    residual = torch.tensor([0.3, -0.2])
    expected = [a @ np.linalg.inv(covariance) @ residual.double().numpy() for a in away]
    np.testing.assert_allclose(found.drawn_to(values, labels, residual), expected, rtol=1e-4)


def test_a_mix_of_means_is_found() -> None:
    values, labels = _clouds(50, 0)
    reference = Reference.of(values, labels)
    mean = reference.means[0] / 4 + 3 * reference.means[2] / 4
    np.testing.assert_allclose(reference.mixed(mean), mean, atol=1e-6)


@pytest.mark.parametrize("make", [samples, quantiles])
def test_who_shows_samples_gives_them_away_and_who_shows_quantiles_does_not(make) -> None:
    reference = Reference.of(*_clouds(400, 0))
    own, labels = _clouds(60, 1)
    others, _ = _clouds(60, 2)
    points = make(own, 180, torch.Generator().manual_seed(0))
    evidence = [of_points(points, values, labels, reference) for values in (own, others)]
    truth = np.repeat([True, False], 180)
    nearness = area(torch.cat(evidence)[:, 1].numpy(), truth)
    assert nearness is not None
    if make is samples:
        assert nearness == 1
    else:
        assert nearness < 0.6


def test_means_of_few_samples_tell_of_them_and_nothing_said_is_no_evidence() -> None:
    reference = Reference.of(*_clouds(400, 0))
    own, labels = _clouds(4, 1)
    others, _ = _clouds(4, 2)
    told = torch.stack([own[labels == c].mean(0) for c in range(3)])
    told[1] = torch.nan
    evidence = [of_means(told, values, labels, reference)[:, 0] for values in (own, others)]
    for found in evidence:
        assert (found[labels == 1] == 0).all()
    mine, theirs = (found[labels != 1].numpy() for found in evidence)
    assert mine.mean() > theirs.mean() + 2 * theirs.std() / len(theirs) ** 0.5


def test_losses_fall_of_what_was_learned() -> None:
    here = world(0)
    public, own = here.split(30, classes=(0, 1, 2, 3)), here.split(2, 0)
    before, after = fitted(public), fitted(own)
    found = of_headers(before, after, own)
    for at in range(len(own.labels)):
        one = own.at(slice(at, at + 1))
        first, then = (F.cross_entropy(h(one.features), one.labels) for h in (before, after))
        assert found[at].tolist() == pytest.approx([(first - then).item(), -then.item()], abs=1e-5)
    assert (found[:, 0] > 0).double().mean() > 0.5


def test_each_samples_importance_is_that_of_a_batch_of_one() -> None:
    from models.header.build import build_header
    from models.header.config import HeaderConfig

    header = build_header(HeaderConfig("mlp", 8, (2, 2), 4, channels=4, hidden=6), seed=0)
    features = torch.randn(5, 2, 5, 8, generator=torch.Generator().manual_seed(0))
    data = Split(features, torch.tensor([0, 1, 2, 3, 0]))
    found = importance_of_each(header, data)
    parameters = dict(header.named_parameters())
    for at in range(5):
        loss = F.cross_entropy(header(data.features[at : at + 1]), data.labels[at : at + 1])
        gradients = dict(
            zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True)
        )
        own = neuron_importance(parameters, gradients, layer_names(header))
        torch.testing.assert_close(found[at], (own / own.sum()).detach(), rtol=1e-4, atol=1e-6)
