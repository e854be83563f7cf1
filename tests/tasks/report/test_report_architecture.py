"""docs/architecture.md and its picture say what the registry of kinds and the rooms say."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from models.refinement.exchanges import EXCHANGES
from tasks.links.kinds import Kind, declared
from tasks.links.ledger import write_ledger
from tasks.links.link import Route, send
from tasks.report import architecture
from tasks.report.columns import spelled

ROOT = Path(__file__).parents[3]
OUT_OF_DATE = "out of date: run make pictures"
OF_EXCHANGES = {p.kind for e in EXCHANGES.values() for p in (e.up, e.down) if p is not None}
OF_EXCHANGES |= {"feature_sketch"}


def words_of(svg: str) -> list[str]:
    """Every text of a picture, in order: matplotlib notes each beside its outlines."""
    return re.findall(r"<!-- (.+?) -->", svg)


def test_the_page_is_what_the_code_says() -> None:
    page = (ROOT / architecture.PAGE).read_text()
    assert page == architecture.page_with(page, architecture.tables(ROOT)), OUT_OF_DATE


def test_the_picture_says_what_the_registry_says() -> None:
    sizes = architecture.sizes_of(ROOT / architecture.SIZES)
    shown = words_of((ROOT / architecture.PICTURE).read_text())
    assert shown == words_of(architecture.svg(architecture.draw(declared(), sizes))), OUT_OF_DATE
    assert set(sizes) <= set(declared()), OUT_OF_DATE
    for name in declared():
        words = name.replace("_", " ")
        assert sum(word.startswith(words) for word in shown) >= 1, name
        # of an exchange that is no default there is no message in the default run's ledger, nor a
        # sketch where the default's messages tell who is alike
        assert sizes[name] in shown if name in sizes else name in OF_EXCHANGES, name


def test_every_room_of_the_picture_is_there() -> None:
    for tier in architecture.TIERS:
        for room in tier.rooms:
            assert (ROOT / room / "__init__.py").exists(), room


def test_a_kind_that_is_added_is_drawn_on_its_link_without_a_size() -> None:
    kinds = {**declared(), "class_statistics": Kind("device", "edge", values={"count": int})}
    words = words_of(architecture.svg(architecture.draw(kinds, {})))
    assert words.index("edge") < words.index("class statistics") < words.index("device")
    assert "| `class_statistics` | device | edge | not in this run | `count` |" in (
        architecture.messages(kinds, {})
    )


def test_sizes_are_medians_of_the_ledgers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = {"storage_limit": 1, "gpu_capacity_watt": 1.0, "base_latency_s": 1.0}
    messages = [
        send(
            "device_attributes",
            Route(f"device-{i}", "edge-0"),
            values={**values, "storage_limit": 10**digits},
        )
        for i, digits in enumerate((0, 1, 9))
    ]
    write_ledger(tmp_path / "ledger.parquet", messages)
    found = architecture.measure([tmp_path / "ledger.parquet"])
    assert found.loc["device_attributes"].tolist() == [3, messages[1].bytes, 0]
    found.to_csv(tmp_path / "sizes.csv")
    assert architecture.sizes_of(tmp_path / "sizes.csv") == {
        "device_attributes": f"{messages[1].bytes} B"
    }
    assert pd.read_csv(tmp_path / "sizes.csv").columns.tolist() == [
        "kind", "messages", "bytes", "rounds",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (75, "75 B"),
        (4208, "4.2 kB"),
        (99_600, "100 kB"),
        (158_856, "159 kB"),
        (10_885_360, "11 MB"),
    ],
)
def test_bytes_are_said_in_two_or_three_digits(count: int, words: str) -> None:
    assert spelled(count) == words
