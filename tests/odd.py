"""Pictures as users have them: turned by a tag, deep, transparent, in odd modes; each with the
pixels that a person sees, made without the code that is tested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ORIENTATION = 0x0112
UPRIGHT: dict[int, Callable[[NDArray], NDArray]] = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x.swapaxes(0, 1)[::-1, ::-1],
    8: lambda x: np.rot90(x),
}
"""EXIF's orientations: what makes stored pixels ``(height, width, ...)`` upright."""
STORED = {**UPRIGHT, 6: UPRIGHT[8], 8: UPRIGHT[6]}
"""Their inverses."""
RNG = np.random.default_rng(7)
COLOUR = RNG.integers(0, 256, (6, 9, 3)).astype(np.uint8)
GREY = RNG.integers(0, 256, (6, 9)).astype(np.uint8)
GREY[0, :2] = 0, 255
ALPHA = RNG.integers(0, 256, (6, 9)).astype(np.uint8)
ALPHA[0, :2] = 0, 255


def odd_pictures(folder: Path) -> dict[Path, tuple[NDArray, int]]:
    """Write the pictures; gives what each shows, ``(height, width)`` or ``(height, width, 3)`` of
    uint8, and by how much a pixel may differ."""
    made = dict(_turned(folder))
    made |= _deep(folder)
    made |= _clear(folder)
    made |= _modes(folder)
    return made


def tagged(pixels: NDArray, orientation: int, path: Path) -> None:
    """Write upright ``pixels`` turned, with the tag that says so."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = np.ascontiguousarray(STORED[orientation](pixels))
    Image.fromarray(stored).save(path, exif=exif, lossless=True, exact=True)


def _turned(folder: Path) -> dict[Path, tuple[NDArray, int]]:
    made = {}
    for number in UPRIGHT:
        for suffix in ("png", "tif", "webp"):
            path = folder / f"turned{number}.{suffix}"
            tagged(COLOUR, number, path)
            made[path] = COLOUR, 0
        path, smooth = folder / f"turned{number}.jpg", np.zeros((32, 64, 3), np.uint8)
        smooth[:16, :32] = 255
        smooth[16:] = 120
        tagged(smooth, number, path)
        made[path] = smooth, 2  # whole blocks of JPEG's
    tagged(GREY, 6, folder / "grey6.png")
    tagged(GREY.astype(np.uint16) * 257, 6, folder / "deep6.png")
    return made | {folder / "grey6.png": (GREY, 0), folder / "deep6.png": (GREY, 0)}


def _deep(folder: Path) -> dict[Path, tuple[NDArray, int]]:
    sixteen = GREY.astype(np.uint16) * 257
    signed = GREY.astype(np.int32) * 40 - 4000  # as of a scanner: of no known range
    unit = GREY.astype(np.float32) / 255
    holes = np.where(GREY == 0, np.nan, unit)  # as a depth sensor's.astype(np.float32)
    deep = {
        "sixteen.png": sixteen,
        "sixteen.tif": sixteen,
        "sixteen.pgm": sixteen,
        "dark.png": sixteen // 8,
        "signed.tif": signed,
        "unit.tif": unit,
        "holes.tif": holes,
        "metres.tif": (unit * 90 - 12).astype(np.float32),
    }
    for name, values in deep.items():
        Image.fromarray(values).save(folder / name)
    Image.frombytes("I;16B", (9, 6), sixteen.astype(">u2").tobytes()).save(folder / "big.tif")
    Image.fromarray(sixteen).save(folder / "key.png", transparency=int(sixteen[2, 2]))
    shown = {folder / name: (GREY, 0) for name in (*deep, "big.tif")}
    shown[folder / "dark.png"] = np.rint(sixteen // 8 / 257).astype(np.uint8), 0
    shown[folder / "key.png"] = np.where(GREY[2, 2] == GREY, 255, GREY), 0
    return shown


def _clear(folder: Path) -> dict[Path, tuple[NDArray, int]]:
    def on_white(pixels: NDArray, alpha: NDArray) -> NDArray:
        share = alpha.reshape(alpha.shape + (1,) * (pixels.ndim - 2)) / 255
        return np.rint(pixels * share + 255 * (1 - share)).astype(np.uint8)

    colour, grey = on_white(COLOUR, ALPHA), on_white(GREY, ALPHA)
    made = {}
    for name in ("rgba.png", "rgba.tif", "rgba.webp"):
        rgba = Image.fromarray(np.dstack([COLOUR, ALPHA]))
        rgba.save(folder / name, lossless=True, exact=True)
        made[folder / name] = colour, 1
    Image.fromarray(np.dstack([GREY, ALPHA]), "LA").save(folder / "la.png")
    made[folder / "la.png"] = grey, 1
    indices = (GREY % 4).astype(np.uint8)
    palette = np.array([[0, 0, 0], [200, 10, 20], [0, 90, 0], [10, 20, 250]], np.uint8)
    coloured = palette[indices]
    paletted = Image.fromarray(indices, "P")
    paletted.putpalette(palette.tobytes())
    paletted.save(folder / "plain.png")
    made[folder / "plain.png"] = coloured, 0
    paletted.save(folder / "index.png", transparency=0)
    paletted.save(folder / "index.gif", transparency=0)
    white = np.where(indices[..., None] == 0, np.uint8(255), coloured)
    made |= {folder / "index.png": (white, 0), folder / "index.gif": (white, 0)}
    alphas = np.array([0, 128, 255, 30], np.uint8)
    paletted.save(folder / "alphas.png", transparency=alphas.tobytes())
    made[folder / "alphas.png"] = on_white(coloured, alphas[indices]), 1
    Image.fromarray(COLOUR).save(folder / "key_rgb.png", transparency=tuple(COLOUR[1, 1].tolist()))
    made[folder / "key_rgb.png"] = (
        np.where((COLOUR[1, 1] == COLOUR).all(-1)[..., None], np.uint8(255), COLOUR),
        0,
    )
    return made


def _modes(folder: Path) -> dict[Path, tuple[NDArray, int]]:
    bits = GREY > 127
    Image.fromarray(bits).save(folder / "bits.png")
    Image.fromarray(bits).save(folder / "bits.pbm")
    black = np.where(bits, 255, 0).astype(np.uint8)
    inks = np.dstack([COLOUR, ALPHA // 2])
    Image.fromarray(inks, "CMYK").save(folder / "cmyk.tif")
    paper = (255.0 - COLOUR) * (255.0 - inks[..., 3:]) / 255
    flat = np.full((16, 16, 4), (200, 30, 60, 20), np.uint8)
    Image.fromarray(flat, "CMYK").save(folder / "cmyk.jpg", quality=95)
    printed = (255.0 - flat[..., :3]) * (255.0 - flat[..., 3:]) / 255
    still = Image.fromarray(COLOUR)
    others = [Image.fromarray(255 - COLOUR)]
    still.save(folder / "moving.webp", save_all=True, append_images=others, lossless=True)
    still.save(folder / "moving.png", save_all=True, append_images=others)
    grey = Image.fromarray(GREY)
    grey.save(folder / "moving.gif", save_all=True, append_images=[Image.fromarray(255 - GREY)])
    return {
        folder / "bits.png": (black, 0),
        folder / "bits.pbm": (black, 0),
        folder / "cmyk.tif": (np.rint(paper).astype(np.uint8), 2),
        folder / "cmyk.jpg": (np.rint(printed).astype(np.uint8), 6),
        folder / "moving.webp": (COLOUR, 0),
        folder / "moving.png": (COLOUR, 0),
        folder / "moving.gif": (GREY, 0),
    }
