"""Whose name is whose: the ends of a link."""

from __future__ import annotations

from typing import Literal

Tier = Literal["cloud", "edge", "device"]
CLOUD, DEVICE = "cloud", "device-"


def tier_of(name: str) -> Tier:
    """Whose name it is: the cloud's, a device's (``device-`` and its id), or else an edge's. (No
    edge may be called like another tier: :class:`tasks.settings.fleet.Cluster`.)"""
    if name == CLOUD:
        return "cloud"
    return "device" if name.startswith(DEVICE) else "edge"
