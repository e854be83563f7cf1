"""What a model's card says of it."""

from __future__ import annotations

from dataclasses import replace

from tasks.data.modality import ImageInfo
from tasks.tracking import cards
from tasks.tracking.candidates import Lineage
from tests.fleets import made_up

INFO = ImageInfo("folder", ("shoe", "boot"), 8, 1, (0.5,), (0.2,))
LINEAGE = Lineage("folder", "5f97", "78115b", "0", "batches of 32 on a CPU", "a ViT")


def test_a_device_s_card_says_what_it_takes_for_what() -> None:
    counts = {"shoe": {"shoe": 9, "boot": 4}, "boot": {"boot": 6}}
    row = {**made_up(1, 1).summary["devices"][0], "classes": ["shoe"], "confusion": counts}
    card = cards.device(row, {}, LINEAGE, INFO)
    assert "| what it takes for what, most often | shoe for boot (4 of 13) |" in card
    assert f"| context | {row['context']} |" in card
    all_right = {**row, "confusion": {"boot": {"boot": 6}}}
    assert "| nothing on that split |" in cards.device(all_right, {}, LINEAGE, INFO)
    made = replace(INFO, synthetic_contexts=True)
    assert f"| {row['context']} (synthetic" in cards.device(row, {}, LINEAGE, made)
