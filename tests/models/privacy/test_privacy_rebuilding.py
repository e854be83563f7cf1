"""Images decoded from what a backbone makes of them."""

from __future__ import annotations

import numpy as np
import torch

from models.privacy.rebuilding import correlation, fit_decoder, nearest
from models.training import Loop


def test_correlations_literally() -> None:
    stream = torch.Generator().manual_seed(0)
    images, guesses = torch.rand(4, 30, generator=stream), torch.rand(3, 30, generator=stream)
    expected = [[np.corrcoef(image, guess)[0, 1] for guess in guesses] for image in images]
    np.testing.assert_allclose(nearest(images, guesses), np.max(expected, 1), atol=1e-6)
    own = [np.corrcoef(image, guess)[0, 1] for image, guess in zip(images, guesses, strict=False)]
    np.testing.assert_allclose(correlation(images[:3], guesses), own, atol=1e-6)


def test_what_features_hold_is_decoded_and_what_they_do_not_is_not() -> None:
    stream = torch.Generator().manual_seed(0)
    images = torch.rand(400, 12, generator=stream)
    features, noise = images[:, :6], torch.rand(400, 6, generator=stream)
    loop = Loop(steps=300, batch_size=64, lr=3e-3)
    sees, blind = (fit_decoder(of, images, 0, loop) for of in (features, noise))
    fresh = torch.rand(100, 12, generator=stream)
    found = sees(fresh[:, :6])
    assert correlation(fresh[:, :6], found[:, :6]).mean() > 0.95
    assert correlation(fresh[:, 6:], found[:, 6:]).mean().abs() < 0.15
    assert correlation(fresh, blind(torch.rand(100, 6, generator=stream))).mean().abs() < 0.15
