"""What a model's card says of it."""

from __future__ import annotations

from dataclasses import replace

from tasks.data.modality import ImageInfo, TextInfo
from tasks.tracking import cards
from tasks.tracking.candidates import Lineage
from tests.fleets import made_up

INFO = ImageInfo("folder", ("shoe", "boot"), 8, 1, (0.5,), (0.2,))
LINEAGE = Lineage("folder", "5f97", "78115b", "0", "batches of 32 on a CPU", "a ViT")


def test_a_device_s_card_says_what_it_takes_for_what() -> None:
    counts = {"shoe": {"shoe": 9, "boot": 4}, "boot": {"boot": 6}}
    row = {**made_up(1, 1).summary["devices"][0], "classes": ["shoe"], "confusion": counts}
    del row["words"]
    card = cards.device(row, {}, LINEAGE, INFO)
    assert "| what it takes for what, most often | shoe for boot (4 of 13) |" in card
    assert f"| context | {row['context']} |" in card
    all_right = {**row, "confusion": {"boot": {"boot": 6}}}
    assert "| nothing on that split |" in cards.device(all_right, {}, LINEAGE, INFO)
    assert "words" not in card
    made = replace(INFO, synthetic_contexts=True)
    assert f"| {row['context']} (synthetic" in cards.device(row, {}, LINEAGE, made)


def test_a_card_says_what_a_device_has_samples_of_and_what_it_only_expects() -> None:
    row = {**made_up(1, 1).summary["devices"][0], "classes": ["shoe"], "answers": "wanted"}
    for name in ("words", "wanted", "accuracy_refined_wanted"):
        del row[name]
    card = cards.device(row, {}, LINEAGE, INFO)
    assert "| classes that the device has samples of | shoe |" in card
    assert "| classes that it answers | shoe |" in card
    assert "expects" not in card
    wants = {**row, "wanted": ["bag", "boot"], "known_from": {"boot": ["device-01", "device-02"]}}
    info = replace(INFO, classes=("bag", "boot", "hat", "shoe"))
    card = cards.device(wants, {}, LINEAGE, info)
    expected = "bag, boot (from device-01, device-02)"
    assert f"| classes that it only expects, without a sample of them | {expected} |" in card
    assert "| classes that it answers | bag, boot, shoe |" in card
    assert "on these alone" not in card, "its test split has none"
    met = {"wanted_test_samples": 40, "accuracy_refined_wanted": 0.8}
    card = cards.device({**wants, **met, "accuracy_received_wanted": 0.7}, {}, LINEAGE, info)
    assert "| accuracy on these alone, 40 test samples | 0.800 |" in card
    assert "| the same, received | 0.700 |" in card
    own = cards.device({**wants, "answers": "own"}, {}, LINEAGE, info)
    assert "| classes that it answers | shoe |" in own
    every = cards.device({**wants, "answers": "all"}, {}, LINEAGE, info)
    assert "| classes that it answers | bag, boot, hat, shoe |" in every


def test_a_card_of_texts_says_their_language_the_words_that_are_kept_and_what_it_takes() -> None:
    info = TextInfo("manifest", ("games", "net"), 32, 30_522, 0, contexts=("de", "it"))
    row = {**made_up(1, 1).summary["devices"][0], "classes": ["net"], "context": "it"}
    card = cards.device(row, {}, LINEAGE, info)
    assert "| context | it |" in card
    assert "| words and pieces that it keeps | 13,000 of 30,522, among the parameters |" in card
    assert "int64 numbers of tokens as tokenizer.json has them, (n, length), here `(n, 32)`" in card
    used = cards.how_to_use("acme-device-00", "sqlite:///store.db", info)
    assert "extra_files/tokenizer.json" in used
    assert "pixels" not in used + card
