"""What each device sent messages for: bytes by kind and round, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tasks.links.records import Mixing, Receipt
from tasks.report.columns import (
    NOTHING,
    exchanged,
    in_rounds,
    last_gain,
    points,
    spelled,
)

Row = dict[str, Any]
SAID = {
    "peers": "ships a round with its peers",
    "alone": "ships what it learned alone",
    "pruned": "ships it with fewer neurons",
    "received": "ships what it received",
}


def receipt_rows(
    receipts: Sequence[Receipt], ledger: Sequence[Mapping[Any, Any]], mixings: Sequence[Mixing]
) -> dict[str, Row]:
    """By device: its receipt, the ``peers`` that it heard, and by round and kind the bytes that it
    sent up (``up_bytes``) and got down (``down_bytes``), of rows of a ledger."""
    heard = {name: peers for mixing in mixings for name, peers in heard_by(mixing).items()}
    found = {}
    for receipt in receipts:
        bytes_of: dict[str, dict[str, dict[str, int]]] = {"up_bytes": {}, "down_bytes": {}}
        for row in ledger:
            if receipt.device in (row["sender"], row["receiver"]):
                by_kind = bytes_of[f"{row['direction']}_bytes"].setdefault(str(row["round"]), {})
                by_kind[row["kind"]] = by_kind.get(row["kind"], 0) + int(row["bytes"])
        gained = {str(t): gain for t, gain in receipt.gained.items()}
        row = asdict(receipt) | {"gained": gained, "peers": heard.get(receipt.device, [])}
        found[receipt.device] = {k: v for k, v in row.items() if k != "device"} | bytes_of
    return found


def heard_by(mixing: Mixing) -> dict[str, list[str]]:
    """By device, which of its peers it listened to."""
    return {
        name: [
            peer
            for peer, weight in zip(mixing.devices, weights, strict=True)
            if weight > 0 and peer != name
        ]
        for name, weights in zip(mixing.devices, mixing.weights, strict=True)
    }


def known_from(row: Mapping[str, Any], classes: Mapping[str, Sequence[str]]) -> Row:
    """Of a device's row the peers that told it of each class that it wants and has no samples of;
    ``classes`` are those that each device has samples of, where it ended with a model."""
    peers = row.get("exchange", {}).get("peers", ())
    return {
        name: [peer for peer in peers if name in classes.get(peer, ())]
        for name in row.get("wanted", ())
    }


def in_words(device: str, receipt: Mapping[str, Any]) -> str:
    """'device-07 sent 9 kB, gained 4.1 points, ...'; for a person."""
    gain = last_gain(receipt)
    if gain is None:
        return f"{device} {SAID[receipt['ships']]}"
    expected = receipt["predicted"]
    told = "" if expected is None else f" (expected {points(expected)})"
    if receipt["silent"]:
        return f"{device} stayed silent{told}, {SAID[receipt['ships']]}"
    withheld = receipt["withheld"]
    short = f", withheld {withheld} of its classes (too few samples)" if withheld else ""
    return (
        f"{device} sent {spelled(exchanged(receipt['up_bytes']))}, gained {points(gain)} points on "
        f"validation{told}{short}, {SAID[receipt['ships']]}"
    )


def shown_receipts(devices: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The receipts as cells, a row a device; none where nothing was exchanged."""
    rows = [(d["device"], d["exchange"]) for d in devices if "exchange" in d]
    if not any(receipt["gained"] for _, receipt in rows):
        return []
    return [_shown(device, receipt) for device, receipt in rows]


def _shown(device: str, receipt: Mapping[str, Any]) -> dict[str, str]:
    ways, expected = receipt["ways"], receipt["predicted"]
    peers = ", ".join(receipt["peers"])
    virtual = f" and {receipt['virtual']} virtual samples" if receipt["virtual"] else ""
    return {
        "device": device,
        "heard": peers or "nobody",
        "sent": "nothing: it would not pay" if receipt["silent"] else _kinds(receipt["up_bytes"]),
        "got": _kinds(receipt["down_bytes"]),
        "alone": f"{ways['alone']:.3f}" if "alone" in ways else NOTHING,
        "with_peers": f"{ways['peers']:.3f}" if "peers" in ways else NOTHING,
        "gained": ", ".join(points(gain) for gain in receipt["gained"].values()) or NOTHING,
        "expected": NOTHING if expected is None else points(expected),
        "judged_by": f"{receipt['samples']} own{virtual}",
        "ships": f"{receipt['ships']}, round {receipt['round']}",
    }


def _kinds(bytes_of: Mapping[str, Mapping[str, int]]) -> str:
    """Bytes in rounds by kind, in words."""
    together: dict[str, int] = {}
    for by_kind in in_rounds(bytes_of):
        for kind, count in by_kind.items():
            together[kind] = together.get(kind, 0) + count
    return ", ".join(f"{kind} {spelled(count)}" for kind, count in together.items()) or "nothing"
