"""Whose name is whose: the ends of a link."""

from __future__ import annotations

import re
from typing import Literal

Tier = Literal["cloud", "edge", "device"]
CLOUD, DEVICE = "cloud", "device-"
NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
"""Names are parts of paths and of what people read."""


def is_name(name: object) -> bool:
    """Whether an end may be called so."""
    return isinstance(name, str) and re.fullmatch(NAME[1:-1], name) is not None


def tier_of(name: str) -> Tier:
    """Whose name it is: the cloud's, a device's (``device-`` and its id), or else an edge's. (No
    edge may be called like another tier: :class:`tasks.settings.fleet.Cluster`.)"""
    if name == CLOUD:
        return "cloud"
    return "device" if name.startswith(DEVICE) else "edge"
