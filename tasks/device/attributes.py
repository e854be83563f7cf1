"""What a device is: its limits go up before anything is made for it."""

from __future__ import annotations

from tasks.links.link import Message, send
from tasks.settings.fleet import Device


def send_attributes(edge: str, device: Device) -> Message:
    """C_n, G_n and L_n go up."""
    values = device.model_dump(include={"storage_limit", "gpu_capacity_watt", "base_latency_s"})
    return send("device_attributes", sender=device.name, receiver=edge, values=values)
