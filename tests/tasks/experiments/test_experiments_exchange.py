"""What devices tell each other: draws, and what is said of rows whose answer is known."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.data.modality import DataInfo, ImageInfo, TextInfo
from tasks.data.pin import checksums_path, folder_id
from tasks.data.samples import World
from tasks.experiments.exchange import cells, claims, tables, texts
from tasks.experiments.registry import EXPERIMENTS
from tasks.links.link import Message
from tasks.run.cached import SummedJSON
from tasks.run.errors import DataError
from tasks.run.store import Ref
from tasks.settings.fields import yaml_text

INFO = ImageInfo("x", ("a", "b"), image_size=8, channels=1, mean=(0.5,), std=(0.2,))
TEXT_INFO = TextInfo("x", ("a", "b"), length=12, vocabulary=99, pad=0)
GAINS = {"none": 0.0, "importance": -0.01, "weights": 0.02, "statistics": 0.06}


def rows(seeds: int = 3, peers: tuple[int, ...] = (1, 1)) -> pd.DataFrame:
    """Alone .6, .4 where classes are missing; received .3, ceiling .8; a point more a seed."""
    found = [
        {
            "seed": seed,
            "samples": samples,
            "unseen": unseen,
            "exchange": name,
            "default": name == "statistics",
            "edge": "edge-0",
            "device": f"device-{device:02d}",
            "context": "night",
            "peers": peers[device],
            "received": 0.3,
            "ceiling": 0.8,
            "ceiling_samples": 900,
            "test_samples": 100,
            "accuracy": 0.6 - 0.1 * unseen + 0.01 * seed + gain * bool(peers[device]),
            "accuracy_last_round": 0.6,
            "accuracy_wanted": 0.2 + gain if unseen else None,
            "won": 40,
            "lost": 10,
            "predicted": 0.02 if samples == 4 or unseen else 0.001,
            "way_shipped": "peers",
            "rounds": 3,
            "raw_bytes": 4000 * samples,
            "uplink_bytes": 0 if name == "none" else 2000,
        }
        for seed, samples, unseen, device, (name, gain) in product(
            range(seeds), (4, 60), (0, 2), range(len(peers)), GAINS.items()
        )
    ]
    return pd.DataFrame(found)


def judged(frame: pd.DataFrame, case: str = "contexts") -> dict[str, claims.Claim]:
    return {claim.id: claim for claim in EXPERIMENTS[case].judge(frame)}


def test_the_default_exchange_is_judged_in_every_cell() -> None:
    found = judged(rows())
    for cell in ("4-0", "4-2", "60-0", "60-2"):
        assert [*found[f"contexts.over-alone-{cell}"].values.values()] == pytest.approx([0.06] * 3)
    assert found["contexts.over-alone-60-0"].neutral == -claims.SPARED
    assert found["contexts.over-alone-60-2"].neutral == 0
    assert found["contexts.gap-closed-4-0"].values[1] == pytest.approx((0.67 - 0.3) / 0.5)
    assert found["contexts.gap-closed-4-0"].verdict == "holds"
    assert found["contexts.gap-closed-4-2"].verdict == "fails"
    other = rows().assign(default=lambda f: f.exchange == "weights")
    assert judged(other)["contexts.over-alone-4-0"].values[0] == pytest.approx(0.02)


def test_who_has_no_peer_is_judged_apart() -> None:
    assert "contexts.without-peers" not in judged(rows())
    found = judged(rows(peers=(1, 0)), "languages")
    assert found["languages.over-alone-4-0"].values[0] == pytest.approx(0.06)
    assert found["languages.without-peers"].values[0] == pytest.approx(0)


def test_the_context_that_gains_least_is_judged_in_every_cell() -> None:
    frame = rows()
    second = frame.device == "device-01"
    frame["context"] = np.where(second, "day", "night")
    assert judged(frame)["contexts.least-context-4-2"].verdict == "holds"
    frame["accuracy"] -= np.where(second, 0.2, 0)
    found = judged(frame)["contexts.least-context-4-2"]
    assert "day" in found.claim
    assert [*found.values.values()] == pytest.approx([-0.04, -0.03, -0.02])
    assert found.verdict == "fails"
    assert judged(frame)["contexts.least-context-4-0"].verdict == "holds"


def test_bytes_are_over_those_of_the_samples_and_weights_a_round() -> None:
    found = judged(rows())
    assert found["contexts.uplink-statistics"].values[0] == pytest.approx(2000 / 240_000)
    assert found["contexts.uplink-weights"].values[0] == pytest.approx(2000 / 3 / 240_000)


def test_who_ends_below_is_found_by_its_own_samples_and_counted_against_chance() -> None:
    frame = pd.DataFrame({"won": [0, 0, 10, 10], "lost": [5, 6, 20, 24]})
    # one side of an exact test: .031, .016, .049, .012
    assert claims.below(frame).tolist() == [False, True, False, True]
    assert claims.allowed(360) == 14
    worse = rows().assign(lost=lambda f: np.where(f.device == "device-01", 80, 0))
    claim = judged(worse)["contexts.below-received"]
    assert set(claim.values.values()) == {0.5}
    assert claim.verdict == "fails"
    assert judged(rows())["contexts.below-received"].verdict == "holds"


@pytest.mark.parametrize("seeds", [1, 3])
def test_pictures_show_the_gains_of_devices_with_peers(seeds: int) -> None:
    for case in ("contexts", "languages"):
        figure = EXPERIMENTS[case].figure(rows(seeds, (1, 0)))
        seen, missing, *costs = figure.axes
        assert len(costs) == 2
        for axis in (seen, missing):
            drawn = [line.get_ydata().tolist() for line, *_ in axis.containers]
            assert drawn == [pytest.approx([100 * g] * 2) for n, g in GAINS.items() if n != "none"]


def test_tables_say_what_the_rows_say() -> None:
    text = tables.tables_of(rows(peers=(1, 0)))
    assert "| 4 | 0 | 0.300 | 0.610 | 0.800 | -1.0 ± 0.0 | +2.0 ± 0.0 | +6.0 ± 0.0 |" in text
    assert "| 60 | 2 | 0.200 | -1.0 ± 0.0 | +2.0 ± 0.0 | +6.0 ± 0.0 |" in text
    assert "| 4 | 0 | 62 % | 60 % | 66 % | 74 % |" in text
    assert "| 4 | 16.0 | 0.0 (0.0%) | 2.0 (12.5%) | 2.0 (12.5%) | 2.0 (12.5%) |" in text
    assert "Of 24 devices and draws, 0 ended below" in text


def test_a_larger_draw_holds_the_smaller_and_lacks_what_is_missing() -> None:
    labels, lacking = torch.arange(40) % 4, torch.tensor([2])

    def of(count: int, seed: int = 0) -> list[int]:
        stream = np.random.default_rng(seed)
        found: list[int] = cells.chosen(labels, count, lacking, stream).tolist()
        return found

    few, more = of(2), of(7)
    assert sorted(labels[few].tolist()) == [0, 0, 1, 1, 3, 3]
    assert set(few) < set(more)
    assert len(of(99)) == 30, "as many as there are"
    assert of(2) == few
    assert of(2, seed=1) != few


def test_bytes_are_counted_by_kind() -> None:
    def message(kind: str, sender: str, size: int, round: int = 0) -> Message:
        return Message(kind, sender, "edge-0", "up", round, size, "0" * 64)

    sent = [message("metrics", "device-00", 5), message("metrics", "device-00", 6, 1)]
    sent += [message("class_statistics", "device-00", 100), message("metrics", "device-01", 7)]
    assert cells.sent_up("device-00", sent) == {
        "uplink_bytes": 111,
        "up_class_statistics": 100,
        "up_metrics": 11,
    }


@pytest.mark.parametrize("info", [INFO, TEXT_INFO], ids=["images", "texts"])
def test_a_partition_that_was_cached_is_read_back(info: DataInfo) -> None:
    world, json = World(info, {"cloud": Ref("samples", "0")}), SummedJSON()
    assert json.loads(json.dumps(world)) == world


@pytest.mark.usefixtures("in_tmp")
def test_texts_are_the_case_s_as_it_pins_them_or_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*arguments: object) -> None:
        raise DataError("cannot fetch")

    monkeypatch.setattr(texts.sources, "fetch", unreachable)
    with pytest.raises(DataError, match=r"acme --case text init .* && acme --case text data fetch"):
        texts.languages_of({})
    own = tmp_path / "cases/text/data"
    own.mkdir(parents=True)
    (own / "de.parquet").write_bytes(b"texts")
    pinned = tmp_path / "cases/text/data.dvc"
    texts.pin.write_checksums(own, checksums_path(pinned))
    pinned.write_text(yaml_text({"outs": [{"md5": folder_id(own), "path": "data"}]}))
    values = texts.languages_of({"partition": {"slots": 9}})
    assert values["data"]["folder"] == str(own)
    assert values["partition"]["slots"] == 9
    (own / "de.parquet").write_bytes(b"other")
    with pytest.raises(DataError, match=r"de\.parquet"):
        texts.languages_of({})
    assert texts.languages_of({"data": {"folder": "mine"}})["data"]["folder"] == "mine"
