"""What a device is: its limits go up before anything is made for it."""

from __future__ import annotations

from tasks.device.own import Answer, Own
from tasks.links.link import send
from tasks.settings.fleet import Device


def attributes(own: Own, device: Device, words: int | None = None) -> Answer:
    """C_n, G_n and L_n go up, and of texts how many words the device keeps."""
    values = device.model_dump(include={"storage_limit", "gpu_capacity_watt", "base_latency_s"})
    if words is not None:
        values["vocabulary"] = words
    message = send("device_attributes", own.up(), values=values)
    return Answer(own, (message,))
