"""What a device is: its limits go up before anything is made for it."""

from __future__ import annotations

from tasks.device.own import Answer, Own
from tasks.links.link import send
from tasks.settings.fleet import Device


def attributes(own: Own, device: Device) -> Answer:
    """C_n, G_n and L_n go up."""
    values = device.model_dump(include={"storage_limit", "gpu_capacity_watt", "base_latency_s"})
    message = send("device_attributes", own.up(), values=values)
    return Answer(own, (message,))
