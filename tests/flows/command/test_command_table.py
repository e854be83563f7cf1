"""Tables on terminals of any width, and in pipes."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest

from flows.command.table import print_fleet, print_rows
from tasks.report.columns import COLUMNS
from tests.fleets import made_up

NAMES = [column.name for column in COLUMNS if column.where != "report"]


class Screen(io.StringIO):
    """What a terminal shows."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "kept.json"
    path.write_text(json.dumps(made_up(6, 2).summary))
    return path


@pytest.fixture(params=[80, 100, 120, 220])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.setenv("TERM", "xterm")
    return int(request.param)


def plain(text: str) -> list[str]:
    return re.sub(r"\x1b\[[\d;]*m", "", text).splitlines()


def heads(lines: list[str]) -> list[str]:
    """The columns' names, put together again where they are folded."""
    folded = [line.strip("┃").split("┃") for line in lines if line.startswith("┃")]
    return [" ".join(" ".join(parts).split()) for parts in zip(*folded, strict=True)]


def test_a_terminal_shows_whole_columns_and_names_those_without_room(
    summary: Path, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", screen := Screen())
    print_fleet(summary)
    lines = plain(screen.getvalue())
    rows = [line for line in lines if line.startswith(tuple("┏┃┡│└"))]
    assert len({len(row) for row in rows}) == 1
    assert len(rows[0]) <= width
    assert "…" not in "".join(rows)
    shown = heads(lines)
    assert {"device", "refined", "reference, own classes", "given up", "params"} <= set(shown)
    told = re.search(r"Too narrow for: (.*)\. All columns: (.*) \| less -S", "\n".join(lines))
    left_out = told[1].split("; ") if told else []
    assert sorted(shown + left_out) == sorted(NAMES)
    assert bool(left_out) == (width < 220)
    assert told is None or told[2] == f"acme fleet --summary {summary}"
    assert [row.split()[1] for row in rows if row.startswith("│")] == [
        f"device-0{i}" for i in (0, 2, 4, 1, 3, 5)
    ]


def test_a_pipe_gets_every_column_and_each_sentence_on_one_line(
    summary: Path, width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    print_fleet(summary)
    lines = plain(capsys.readouterr().out)
    assert heads(lines) == NAMES
    assert len([line for line in lines if line.startswith("┃")]) == 1
    assert "Too narrow" not in "".join(lines)
    [given_up] = [line for line in lines if line.startswith("Given up: ")]
    assert given_up.startswith("Given up: +5.0 points (+5.0 to +5.0) against the reference told ")
    assert "what ships is told" not in given_up, "it is already"
    assert "Not on like terms: \N{MINUS SIGN}5.0 against the reference not told" in given_up


def test_what_ships_and_answers_all_is_compared_told_too(
    summary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(summary.read_text())
    content["fleet"]["accuracy_refined_own_classes_mean"] += 0.02
    summary.write_text(json.dumps(content))
    print_fleet(summary)
    [given_up] = [line for line in capsys.readouterr().out.splitlines() if "Given up: " in line]
    assert "+3.0 where what ships is told them too" in given_up


def test_what_devices_only_expect_has_a_line(
    summary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_fleet(summary)
    [line] = [line for line in plain(capsys.readouterr().out) if "will meet" in line]
    assert line.startswith("Of classes that 6 devices will meet and had no samples of")
    assert line.endswith(
        "(120 test samples), accuracy: received and told them 0.400, refined 0.600."
    )
    content = json.loads(summary.read_text())
    for device in content["devices"]:
        del device["accuracy_refined_wanted"]
    summary.write_text(json.dumps(content))
    print_fleet(summary)
    assert "will meet" not in capsys.readouterr().out


def test_what_fits_in_no_way_is_folded_and_not_cut(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", screen := Screen())
    name = "a-device-of-a-very-long-name-" * 9
    assert not print_rows("Registry", [{"model": name, "now": "[champion]"}], left=("model",))
    lines = [line for line in plain(screen.getvalue()) if line.startswith("│")]
    assert "".join(line.split("│")[1].strip() for line in lines) == name
    assert "".join(line.split("│")[2].strip() for line in lines) == "[champion]"


def test_a_summary_of_an_older_version_is_printed(
    summary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = json.loads(summary.read_text())
    older["fleet"] = {k: v for k, v in older["fleet"].items() if not k.startswith("given_up")}
    summary.write_text(json.dumps(older))
    print_fleet(summary)
    assert "Given up: +5.0 points against the reference told" in capsys.readouterr().out


def test_it_says_what_edges_learned_from_where_there_are_several_contexts(
    summary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = json.loads(summary.read_text())
    print_fleet(summary)
    said = " ".join(capsys.readouterr().out.split())
    assert "synthetic contexts the cloud's data have day; headers and received models" in said
    assert "71% goes to its own context; by chance it would be 33%." in said
    for contexts in (None, {**known["contexts"], "names": ["all"]}):
        summary.write_text(json.dumps(known | {"contexts": contexts}))
        print_fleet(summary)
        assert "contexts the cloud's data" not in capsys.readouterr().out


def test_it_says_what_refining_gained_and_of_how_much(
    summary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = json.loads(summary.read_text())
    gained = (
        "Refining gains \N{MINUS SIGN}1.0 points (\N{MINUS SIGN}1.0 to \N{MINUS SIGN}1.0) over the "
        "received model that is told each device's classes"
    )
    print_fleet(summary)
    said = " ".join(capsys.readouterr().out.split())
    assert (
        f"{gained}: \N{MINUS SIGN}100% of the gap to the ceiling".replace(
            "\N{MINUS SIGN}100", "-100"
        )
        in said
    )
    assert "tuned on 900 to 910 more samples" in said
    assert "which nobody got (21 s)." in said
    fleet = {name: value for name, value in known["fleet"].items() if name != "gap_closed"}
    summary.write_text(json.dumps(known | {"fleet": fleet}))
    print_fleet(summary)
    said = " ".join(capsys.readouterr().out.split())
    assert f"{gained}; no more is reached by the ceiling 0." in said
    summary.write_text(json.dumps(known | {"ceiling": None}))
    print_fleet(summary)
    assert f"{gained}." in " ".join(capsys.readouterr().out.split())


def test_it_says_what_there_would_be_without_acme_where_a_cnn_was_trained(
    summary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = json.loads(summary.read_text())
    summary.write_text(json.dumps(known | {"cnn": None}))
    print_fleet(summary)
    assert "Without ACME" not in capsys.readouterr().out
    cnn = {"parameters": 75_370, "test_accuracy": 0.853, "accuracy_own_classes_mean": 0.912}
    summary.write_text(json.dumps(known | {"cnn": cnn | {"warning": "a plain CNN is better"}}))
    print_fleet(summary)
    said = " ".join(capsys.readouterr().out.split())
    assert "Warning: a plain CNN is better." in said
    assert (
        "Without ACME: a plain CNN of 75,370 parameters, trained on the same data: accuracy 0.853 "
        "on public test data, where the reference has 0.840; 0.912 on the devices' own test "
        "splits, told each device's classes."
    ) in said
