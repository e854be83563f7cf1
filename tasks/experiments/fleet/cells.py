"""What a device sends, and how many samples it is judged by."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.data.modality import DataInfo
from tasks.links.link import Message
from tasks.report.evaluation import centralised_bytes
from tasks.report.heldout import test_count
from tasks.run.store import Ref


def costs(device: str, samples: Ref, messages: Iterable[Message], info: DataInfo) -> dict[str, int]:
    """Bytes that a device sent up (``shared_bytes``: of consented samples), beside those of its raw
    data; and the size of its test split."""
    sent = [m for m in messages if m.sender == device]
    shared = sum(m.bytes for m in sent if m.kind == "shared_samples")
    return {
        "uplink_bytes": sum(m.bytes for m in sent) - shared,
        "shared_bytes": shared,
        "raw_bytes": centralised_bytes([samples], info),
        "test_samples": test_count(samples),
    }
