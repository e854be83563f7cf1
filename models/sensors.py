"""Made contexts: how differently a device's camera sees, in the tradition of corruption benchmarks.

They are synthetic, and called so wherever they show. What a sensor does to an image depends on the
image's content and the sensor alone, so the same image looks the same in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Images = NDArray[np.uint8]
NOISE = 25.0  # standard deviation, in grey values of 255
BLUR, DIMMING = 1.2, 0.6  # standard deviation in pixels of 28; factor
TURN, ZOOM, SHEAR = 25.0, 0.85, 12.0  # degrees, factor, degrees
BLURRED_AT = 28  # pixels a side for which BLUR holds; in proportion for others

See = Callable[[Tensor, np.random.Generator], Tensor]


def _upright(images: Tensor, stream: np.random.Generator) -> Tensor:
    return images


def _rotated(images: Tensor, stream: np.random.Generator) -> Tensor:
    """A quarter turn, as of a camera mounted on its side."""
    return images.rot90(1, (-2, -1))


def _inverted(images: Tensor, stream: np.random.Generator) -> Tensor:
    return _noisy(255 - images, stream)


def _dimmed(images: Tensor, stream: np.random.Generator) -> Tensor:
    from torchvision.transforms.v2 import functional as F  # not above: devices have no torchvision

    sigma = BLUR * images.shape[-1] / BLURRED_AT
    size = 2 * int(3 * sigma + 0.5) + 1
    return F.gaussian_blur(images, [size, size], [sigma, sigma]) * DIMMING


def _skewed(images: Tensor, stream: np.random.Generator) -> Tensor:
    from torchvision.transforms.v2 import functional as F

    turned = F.affine(
        images, TURN, [0, 0], ZOOM, [SHEAR, 0.0], interpolation=F.InterpolationMode.BILINEAR
    )
    return _noisy(turned, stream)


def _noisy(images: Tensor, stream: np.random.Generator) -> Tensor:
    return images + torch.from_numpy(stream.normal(0, NOISE, images.shape)).to(images)


SENSORS = MappingProxyType(
    {
        "upright": _upright,
        "rotated": _rotated,
        "inverted-noisy": _inverted,
        "blurred-dimmed": _dimmed,
        "skewed-noisy": _skewed,
    }
)


def seen(images: Images, sha256: Sequence[str] | NDArray[np.str_], sensor: str) -> Images:
    """Images ``(n, channels, height, width)`` as a sensor of :data:`SENSORS` sees them.

    Args:
        sha256: of their contents, from which the noise is drawn.
    """
    see = SENSORS[sensor]
    if see is _upright:
        return images
    found = [_seen(image, content, see) for image, content in zip(images, sha256, strict=True)]
    return np.stack(found) if found else images


def _seen(image: Images, sha256: str, see: See) -> Images:
    stream = np.random.default_rng(int(sha256[:16], 16))
    pixels = see(torch.from_numpy(image.astype(np.float32)), stream)
    return pixels.clamp(0, 255).round().to(torch.uint8).numpy()
