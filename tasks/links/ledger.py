"""The ledger of the links: a row a message, and what the whole system's communication costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import pandas as pd

from tasks.links.link import Message
from tasks.run.files import atomic_write
from tasks.run.written import read_written

LEDGER = "ledger.parquet"


def write_ledger(path: Path, messages: Iterable[Message]) -> None:
    """Append ``messages`` to the ledger at ``path`` (parquet), each once.

    A stage that is resumed from its cache reports the same messages again; a message is the same
    when its kind, ends and round are, and the last report counts.
    """
    rows = pd.DataFrame([asdict(m) for m in messages])
    if path.exists():
        rows = pd.concat([pd.read_parquet(path), rows])
    rows = rows.drop_duplicates(["kind", "sender", "receiver", "round"], keep="last")
    rows = rows.sort_values(["round", "kind", "sender", "receiver"], ignore_index=True)
    atomic_write(path, rows.to_parquet(index=False))


def read_ledger(folder: Path) -> pd.DataFrame:
    """The ledger that a stage left in ``folder``. Raises ArtifactError if it is not as written."""
    return pd.read_parquet(BytesIO(read_written(folder, LEDGER)))


def totals(folders: Sequence[Path], centralised_bytes: int) -> dict[str, float]:
    """The communication cost of the whole system, from the ledgers in ``folders``.

    ``uplink_bytes`` leaves out the consented shared sets, which are ``shared_bytes``;
    ``centralised_bytes`` is what a centralised system would upload. All in bytes; ratios are to
    the centralised system's upload.
    """
    rows = pd.concat([read_ledger(folder) for folder in folders])
    up = rows[rows.direction == "up"]
    shared = int(up.loc[up.kind == "shared_samples", "bytes"].sum())
    uplink = int(up.bytes.sum()) - shared
    return {
        "uplink_bytes": uplink,
        "downlink_bytes": int(rows.loc[rows.direction == "down", "bytes"].sum()),
        "shared_bytes": shared,
        "centralised_bytes": centralised_bytes,
        "uplink_ratio": uplink / centralised_bytes,
        "uplink_ratio_with_shared": (uplink + shared) / centralised_bytes,
    }
