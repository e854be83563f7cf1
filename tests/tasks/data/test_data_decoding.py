"""A picture gives the pixels that a person sees, whatever its file is like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from tasks.data.decoding import decoded
from tests.odd import UPRIGHT, odd_pictures, tagged

sides = st.integers(1, 7)
grey = arrays(np.uint8, st.tuples(sides, sides))
SCRATCH = Path()
colour = arrays(np.uint8, st.tuples(sides, sides, st.just(3)))


def as_read(path: Path, pixels: NDArray, side: int = 0) -> NDArray:
    """The file's pixels at the size that they have (or square), colour where ``pixels`` are."""
    channels = 3 if pixels.ndim == 3 else 1
    height, width = (side, side) if side else pixels.shape[:2]
    read = decoded(path, (channels, height, width))
    return read[0] if channels == 1 else read.transpose(1, 2, 0)


def saved(pixels: NDArray, form: str, **options: object) -> Path:
    path = SCRATCH / form
    Image.fromarray(pixels).save(path, form, **options)
    return path


@pytest.fixture(scope="module", autouse=True)
def scratch(tmp_path_factory: pytest.TempPathFactory) -> None:
    global SCRATCH
    SCRATCH = tmp_path_factory.mktemp("scratch")


def test_every_odd_picture_shows_what_a_person_sees(tmp_path: Path) -> None:
    odd = odd_pictures(tmp_path)
    assert len(odd) == 60
    for path, (pixels, tolerance) in odd.items():
        read = as_read(path, pixels)
        assert read.dtype == np.uint8
        difference = np.abs(read.astype(int) - pixels).max()
        assert difference <= tolerance, f"{path.name}: {difference}"


@given(st.one_of(grey, colour), st.sampled_from(sorted(UPRIGHT)), st.sampled_from(["png", "tif"]))
def test_a_turned_picture_is_the_upright_one(pixels: NDArray, tag: int, suffix: str) -> None:
    path = SCRATCH / f"turned.{suffix}"
    tagged(pixels, tag, path)
    np.testing.assert_array_equal(as_read(path, pixels), pixels)


@given(grey, st.integers(1, 9))
def test_a_deep_picture_is_the_shallow_one_scaled(pixels: NDArray, side: int) -> None:
    shallow = as_read(saved(pixels, "PNG"), pixels, side)
    sixteen, unit = pixels.astype(np.uint16) * 257, pixels.astype(np.float32) / 255
    for file in (saved(sixteen, "PNG"), saved(sixteen, "TIFF"), saved(sixteen, "PPM")):
        np.testing.assert_array_equal(as_read(file, pixels, side), shallow)
    np.testing.assert_array_equal(as_read(saved(unit, "TIFF"), pixels, side), shallow)


numbers = st.one_of(
    arrays(np.uint16, st.tuples(sides, sides)),
    arrays(np.int32, st.tuples(sides, sides)),
    arrays(np.float32, st.tuples(sides, sides), elements=st.floats(-(2.0**99), 2.0**99, width=32)),
)


@given(numbers)
def test_scaling_keeps_what_is_brighter(values: NDArray) -> None:
    read = as_read(saved(values, "TIFF"), values)
    order = np.argsort(values, axis=None)
    assert (np.diff(read.ravel()[order].astype(int)) >= 0).all()


@given(st.one_of(grey, colour), st.integers(1, 9))
def test_opaque_is_as_without_alpha_and_clear_is_white(pixels: NDArray, side: int) -> None:
    def with_alpha(alpha: int) -> Path:
        return saved(np.dstack([pixels, np.full(pixels.shape[:2], alpha, np.uint8)]), "PNG")

    plain = as_read(saved(pixels, "PNG"), pixels, side)
    np.testing.assert_array_equal(as_read(with_alpha(255), pixels, side), plain)
    assert (as_read(with_alpha(0), pixels, side) == 255).all()


@given(st.one_of(grey, colour), st.integers(1, 9), st.sampled_from(["PNG", "JPEG", "BMP", "GIF"]))
def test_ordinary_pictures_are_as_they_ever_were(pixels: NDArray, side: int, form: str) -> None:
    file = saved(pixels, form)
    for mode, channels in (("L", 1), ("RGB", 3)):
        with Image.open(file) as image:
            before = image.convert(mode).resize((side, side), Image.Resampling.BILINEAR)
        expected = np.asarray(before).reshape(side, side, channels).transpose(2, 0, 1)
        now = decoded(file, (channels, side, side))
        np.testing.assert_array_equal(now, expected)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "GIF", "WEBP", "BMP"])
def test_half_a_file_is_no_picture(form: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    path = saved(pixels, form)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises((OSError, ValueError, SyntaxError, EOFError)):
        decoded(path, (3, 8, 8))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize(
    "tags", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0"]
)
def test_damaged_tags_turn_nothing(tags: bytes) -> None:
    pixels = np.full((4, 8), 200, np.uint8)
    assert (as_read(saved(pixels, "JPEG", exif=tags), pixels) == 200).all()


def test_a_picture_without_a_number_is_damaged() -> None:
    with pytest.raises(ValueError, match="no pixel is a number"):
        decoded(saved(np.full((2, 2), np.nan, np.float32), "TIFF"), (1, 2, 2))
