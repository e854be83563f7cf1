"""Made contexts: the same image looks the same through the same sensor, whatever lies beside it."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.sensors import DIMMING, NOISE, SENSORS, seen

SHA = [hashlib.sha256(bytes([i])).hexdigest() for i in range(6)]


def images(count: int, channels: int = 1, size: int = 16, seed: int = 0) -> np.ndarray:
    shape = (count, channels, size, size)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@given(st.sampled_from([*SENSORS]), st.sampled_from([1, 3]), st.permutations(range(6)))
def test_an_image_s_look_is_its_own(sensor: str, channels: int, order: list[int]) -> None:
    pixels = images(6, channels)
    whole = seen(pixels, SHA, sensor)
    assert whole.shape == pixels.shape
    assert whole.dtype == np.uint8
    few = order[:3]
    assert (seen(pixels[few], [SHA[i] for i in few], sensor) == whole[few]).all()


@pytest.mark.parametrize("sensor", [name for name in SENSORS if name != "upright"])
def test_a_sensor_changes_what_it_sees(sensor: str) -> None:
    pixels = images(4)
    assert (seen(pixels, SHA[:4], sensor) != pixels).mean() > 0.5
    assert seen(pixels[:0], [], sensor).shape == (0, 1, 16, 16)


def test_each_does_what_its_name_says() -> None:
    pixels = images(4)
    assert seen(pixels, SHA[:4], "upright") is pixels
    assert (seen(pixels, SHA[:4], "rotated") == np.rot90(pixels, axes=(-2, -1))).all()
    grey = np.full((1, 1, 64, 64), 100, np.uint8)
    inverted = seen(grey, SHA[:1], "inverted-noisy").astype(float)
    assert abs(inverted.mean() - 155) < 5 * NOISE / 64
    assert abs(inverted.std() - NOISE) < 2
    assert (seen(grey, SHA[:1], "blurred-dimmed") == round(100 * DIMMING)).all()
    point = np.zeros((1, 1, 28, 28), np.uint8)
    point[..., 10, 4] = 250
    spread = seen(point, SHA[:1], "blurred-dimmed")[0, 0].astype(float)
    assert spread.argmax() == 10 * 28 + 4
    assert (spread > 0).sum() > 9
    middle = np.zeros((1, 1, 28, 28), np.uint8)
    middle[..., 8:20, 13:15] = 255  # a bar turns about the middle
    skewed = seen(middle, SHA[:1], "skewed-noisy")[0, 0].astype(float)
    rows, columns = np.nonzero(skewed > 150)
    assert abs(np.corrcoef(rows, columns)[0, 1]) > 0.5


def test_noise_depends_on_the_content_alone() -> None:
    pixels = np.repeat(images(1), 2, 0)
    one, other = seen(pixels, [SHA[0], SHA[1]], "inverted-noisy")
    assert (one != other).any()
    assert (seen(pixels[:1], SHA[:1], "inverted-noisy")[0] == one).all()
