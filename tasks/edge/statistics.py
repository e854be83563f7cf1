"""What the cloud learns of a cluster: statistics of its devices' limits."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.links.ends import CLOUD
from tasks.links.link import Message, Route, each_readable, send
from tasks.run.cached import retried
from tasks.run.errors import LinkError


@retried("{edge}: send statistics")
def send_statistics(edge: str, attributes: Sequence[Message]) -> Message:
    """The cluster's statistics go up: min C_n, and G_n and L_n of its devices; of texts the most
    words that one of them keeps (none is told where one did not tell: it may keep all).

    Raises:
        LinkError: no device's attributes can be read.
    """
    said = {m.sender: v for m, (_, v) in each_readable(attributes, "device_attributes", edge)}
    if not said:
        raise LinkError(f"{edge}: no device's attributes can be read")
    words = [v["vocabulary"] for v in said.values() if "vocabulary" in v]
    told = {"vocabulary": max(words)} if len(words) == len(said) else {}
    return send(
        "cluster_statistics",
        Route(edge, CLOUD),
        values={
            "devices": list(said),
            "storage_limit": min(v["storage_limit"] for v in said.values()),
            "gpu_capacity_watt": [v["gpu_capacity_watt"] for v in said.values()],
            "base_latency_s": [v["base_latency_s"] for v in said.values()],
            **told,
        },
    )
