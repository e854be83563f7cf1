"""What the cloud learns of a cluster: statistics of its devices' limits."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.links.ends import CLOUD
from tasks.links.link import Message, Route, receive, send
from tasks.run.cached import retried


@retried("{edge}: send statistics")
def send_statistics(edge: str, attributes: Sequence[Message]) -> Message:
    """The cluster's statistics go up: min C_n, and G_n and L_n of its devices."""
    values = [receive(message)[1] for message in attributes]
    return send(
        "cluster_statistics",
        Route(edge, CLOUD),
        values={
            "devices": [message.sender for message in attributes],
            "storage_limit": min(v["storage_limit"] for v in values),
            "gpu_capacity_watt": [v["gpu_capacity_watt"] for v in values],
            "base_latency_s": [v["base_latency_s"] for v in values],
        },
    )
