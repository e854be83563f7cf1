"""Noise where it is asked for."""

from __future__ import annotations

import math

import pytest
import torch

from models.refinement.noise import noised
from models.refinement.statistics import FINE, MOST, SCHEMA


def _stream() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _body() -> dict[str, torch.Tensor]:
    return {
        "features": torch.zeros(100, 100).half(),
        "means": torch.zeros(100, 100, dtype=torch.int8),
        "counts": torch.full((100,), 7, dtype=torch.uint8),
    }


def test_without_any_a_body_is_what_it_was() -> None:
    body = _body()
    assert noised(body, 0, _stream()) is body


@pytest.mark.parametrize("deviation", [0.25, 1.5])
def test_it_has_the_deviation_that_is_asked_for_in_the_units_of_public_data(deviation: float):
    found = noised(_body(), deviation, _stream())
    for name, unit in (("features", 1), ("means", FINE)):
        assert found[name].float().std() / unit == pytest.approx(deviation, rel=0.05)
        assert found[name].float().mean() / unit == pytest.approx(0, abs=0.05 * deviation)
        assert found[name].dtype == _body()[name].dtype


@pytest.mark.parametrize("samples", [4, 16, 256])
@pytest.mark.parametrize("deviation", [0.1, 0.3])
def test_counts_say_how_sure_the_means_still_are(samples: int, deviation: float) -> None:
    counts = torch.tensor([2 * math.log2(samples)]).round().to(torch.uint8)
    [told] = noised({"counts": counts}, deviation, _stream())["counts"].tolist()
    as_sure = 1 / (1 / samples + deviation**2)
    assert told == max(3, round(2 * math.log2(as_sure)))
    assert SCHEMA["counts"].wrong(torch.tensor([told], dtype=torch.uint8)) is None


def test_what_does_not_fit_is_cut_off() -> None:
    found = noised({"means": torch.full((1000,), MOST, dtype=torch.int8)}, 1, _stream())
    assert found["means"].max() == MOST
    assert found["means"].min() > 0


def test_the_same_stream_gives_the_same_noise() -> None:
    one, two = (noised(_body(), 1, _stream()) for _ in range(2))
    assert torch.equal(one["means"], two["means"])
