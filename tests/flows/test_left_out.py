"""A device whose messages are damaged on their way is left out of every step by name; the run ends
with the models of the others, and with what it received, if it did."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.on_device import LocalCarrier, Outcome
from tasks.links.asking import Ask, Reply
from tasks.run.store import Store, put

pytestmark = pytest.mark.slow
BAD = "device-01"


def damaging(kinds: tuple[str, ...]) -> Callable[[LocalCarrier, Ask, Outcome], Reply]:
    """What the carrier brings of a device's outcome: of one device, half of every file; and that it
    could not adopt its model, where that is among the kinds."""
    whole = LocalCarrier._kept

    def kept(carrier: LocalCarrier, ask: Ask, outcome: Outcome) -> Reply:
        hit = ask.device == BAD and ask.kind in kinds
        if hit and ask.kind == "adopt":
            return "its disk is full"
        reply = whole(carrier, ask, outcome)
        if not hit or isinstance(reply, str):
            return reply
        halves = [Store.here().read(m.content)[: m.bytes // 2] for m in reply]
        return tuple(
            replace(m, sha256=put(m.kind, half).sha256, bytes=len(half))
            for m, half in zip(reply, halves, strict=True)
        )

    return kept


@pytest.mark.parametrize(
    ("kinds", "models"),
    [(("attributes", "share", "adopt"), 3), (("sketch", "train", "prune"), 4)],
)
def test_it_is_left_out_by_name_and_the_others_end(
    kinds: tuple[str, ...],
    models: int,
    pinned: Path,
    run: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "project"
    shutil.copytree(pinned, root)
    monkeypatch.setattr(LocalCarrier, "_kept", damaging(kinds))
    run(root, "partition", "backbone", "customize", "evaluate")
    said = capsys.readouterr().err
    assert said.count(f"{BAD} is left out: ") >= len(kinds)
    assert "is left out" not in said.replace(f"{BAD} is left out", "")
    summary: dict[str, Any] = json.loads((root / "artifacts/summary.json").read_text())
    names = [device["device"] for device in summary["devices"]]
    assert names == [n for n in (f"device-0{i}" for i in range(4)) if models == 4 or n != BAD]
    kept = {device["device"]: device["round_kept"] for device in summary["devices"]}
    assert kept.get(BAD, 0) == 0, "it has what it received"
