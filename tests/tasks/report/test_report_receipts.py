"""What each device sent messages for, as rows, as words, and on the page."""

from __future__ import annotations

from typing import Any

from tasks.links.records import Mixing, Receipt
from tasks.report.columns import exchanged, last_gain
from tasks.report.receipts import heard_by, in_words, known_from, receipt_rows, shown_receipts
from tasks.report.report import render
from tests.fleets import made_up

NAMES = ("device-00", "device-01", "device-02")
MIXING = Mixing("edge", NAMES, ((0.0,) * 3,) * 3, ((0.5, 0.5, 0), (0.5, 0.5, 0), (0, 0, 1.0)))
RECEIPT = Receipt(
    "device-00", 40, 10, "pruned", 4, {"received": 0.5, "alone": 0.6, "ships": 0.7},
    {1: 0.02, 3: 0.041}, 0.03,
)  # fmt: skip


def sent(kind: str, sender: str, receiver: str, round: int, count: int) -> dict[str, Any]:
    direction = "up" if sender.startswith("device") else "down"
    return {
        "kind": kind, "sender": sender, "receiver": receiver, "round": round, "bytes": count,
        "direction": direction,
    }  # fmt: skip


LEDGER = [
    sent("shared_samples", "device-00", "edge", 0, 40_000),
    sent("customized_model", "edge", "device-00", 0, 250_000),
    sent("class_statistics", "device-00", "edge", 1, 1500),
    sent("class_statistics", "device-01", "edge", 1, 1600),
    sent("peers_statistics", "edge", "device-00", 1, 1700),
    sent("metrics", "device-00", "edge", 1, 90),
    sent("receipt", "device-00", "edge", 3, 80),
]


def row(receipt: Receipt = RECEIPT) -> dict[str, Any]:
    return receipt_rows([receipt], LEDGER, [MIXING])[receipt.device]


def test_bytes_are_the_device_s_own_by_direction_round_and_kind() -> None:
    found = row()
    assert found["up_bytes"] == {
        "0": {"shared_samples": 40_000},
        "1": {"class_statistics": 1500, "metrics": 90},
        "3": {"receipt": 80},
    }
    assert found["down_bytes"] == {
        "0": {"customized_model": 250_000},
        "1": {"peers_statistics": 1700},
    }
    assert exchanged(found["up_bytes"]) == 1500, "no samples, and no scores"
    assert exchanged(found["down_bytes"]) == 1700
    assert found["peers"] == ["device-01"]


def test_whom_a_device_heard_is_who_had_weight_beside_itself() -> None:
    assert heard_by(MIXING) == {
        "device-00": ["device-01"], "device-01": ["device-00"], "device-02": [],
    }  # fmt: skip


def test_a_class_is_known_from_the_peers_that_were_heard_and_have_samples_of_it() -> None:
    classes = {"device-00": ["bag"], "device-01": ["bag", "boot"], "device-02": ["coat", "boot"]}
    device = {"wanted": ["boot", "coat"], "exchange": row()}
    assert known_from(device, classes) == {"boot": ["device-01"], "coat": []}
    del classes["device-01"]  # it was heard, and left out later
    assert known_from(device, classes) == {"boot": [], "coat": []}


def test_the_gain_is_that_of_the_last_round() -> None:
    assert last_gain(row()) == 0.041
    assert last_gain({"gained": {"2": 0.1, "10": 0.3}}) == 0.3
    assert last_gain({"gained": {}}) is None


def test_in_words_it_says_what_was_sent_and_gained_or_that_nothing_was() -> None:
    words = in_words("device-00", row())
    assert words == (
        "device-00 sent 1.5 kB, gained +4.1 points on validation (expected +3.0), ships it with "
        "fewer neurons"
    )
    silent = Receipt("device-00", 9, 0, "alone", 2, {}, {1: 0.0}, 0.002, silent=True)
    assert in_words("device-00", row(silent)) == (
        "device-00 stayed silent (expected +0.2), ships what it learned alone"
    )
    none = Receipt("device-00", 9, 0, "received", 0, {}, {})
    assert in_words("device-00", row(none)) == "device-00 ships what it received"


def test_the_page_has_a_row_a_device_and_none_where_nothing_was_exchanged() -> None:
    page = made_up(5, 2)
    html = render(None, "acme ui", page)
    assert "What devices told each other" in html
    shown = shown_receipts(page.summary["devices"])
    assert [cells["device"] for cells in shown] == [d["device"] for d in page.summary["devices"]]
    assert "class_statistics 1.5 kB" in {cells["sent"] for cells in shown}
    assert "nothing: it would not pay" in {cells["sent"] for cells in shown}
    for device in page.summary["devices"]:
        device["exchange"] |= {"gained": {}}
    assert "What devices told each other" not in render(None, "acme ui", page)
