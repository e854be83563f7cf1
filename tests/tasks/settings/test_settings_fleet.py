"""A fleet from a file: with edges, without, and with faults that are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.run.errors import SettingsError
from tasks.settings.fleet import parameters_from
from tasks.settings.fleet_file import append_row, read_fleet

HEAD = "id,storage_limit,gpu_capacity_watt,base_latency_s\n"
ROWS = "0,0.4 MB,5,2.0\n1,420 KB,5,1.9\n2,0.02 GB,200,0.06\n3,20 MB,220,0.06\n"


@pytest.mark.parametrize(
    ("limit", "parameters"),
    [
        (90000, 90000),
        ("90000", 90000),
        ("0.4 MB", 100000),
        ("400kb", 100000),
        ("2.5e1 MB", 6250000),
        ("1 GB", 250000000),
        ("5. kb", 1250),
        ("1.2345678 GB", 308641950),
    ],
)
def test_a_limit_in_parameters_or_bytes(limit: object, parameters: int) -> None:
    assert parameters_from(limit) == parameters


def test_devices_that_name_no_edge_are_clustered(tmp_path: Path) -> None:
    path = tmp_path / "fleet.csv"
    path.write_text(HEAD + ROWS)
    fleet = read_fleet(path)
    assert [c["edge"] for c in fleet] == ["edge-0", "edge-1"]
    assert [[d["id"] for d in c["devices"]] for c in fleet] == [[0, 1], [2, 3]]


def test_a_yaml_file_may_say_how_many_clusters(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    device = "{{id: {0}, storage_limit: {0}0000, gpu_capacity_watt: 5, base_latency_s: 1}}"
    devices = ", ".join(device.format(i) for i in range(1, 7))
    path.write_text(f"clusters: 3\ndevices: [{devices}]\n")
    found = [[d["id"] for d in c["devices"]] for c in read_fleet(path)]
    assert found == [[1], [2, 3, 4], [5, 6]]


def test_rows_in_any_order_give_the_same_fleet(tmp_path: Path) -> None:
    same = "{},1 MB,5,1\n"
    rows = [*ROWS.splitlines(keepends=True), *(same.format(i) for i in range(4, 9))]
    found = []
    for name, order in (("a.csv", rows), ("b.csv", rows[::-1])):
        (tmp_path / name).write_text("\ufeff" + HEAD + "".join(order))
        found.append(read_fleet(tmp_path / name, 3))
    assert found[0] == found[1]


def test_a_device_may_say_which_classes_it_wants(tmp_path: Path) -> None:
    (tmp_path / "fleet.csv").write_text(
        HEAD.replace("\n", ",wanted\n") + "0,9,5,1,boot; a hat\n1,9,5,1,\n"
    )
    (tmp_path / "fleet.yaml").write_text(
        f"- {GOOD[:-1]}, wanted: [boot, a hat]}}\n- {GOOD.replace('0', '1', 1)}\n"
    )
    for name in ("fleet.csv", "fleet.yaml"):
        rows = [d for cluster in read_fleet(tmp_path / name) for d in cluster["devices"]]
        assert [row.get("wanted") for row in rows] == [["boot", "a hat"], None]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (HEAD.replace("\n", ",wanted\n") + "0,9,5,1,a;;b\n", "line 2: wanted.*a semicolon between"),
        (
            HEAD.replace("\n", ",wanted\n") + "0,9,5,1,a;b;a\n",
            "line 2: wanted.* a stands there more",
        ),
        (HEAD + "0,two MB,5,1\n", r"fleet\.csv, line 2: storage_limit"),
        (HEAD + "\n0,1 acre,5,1\n", r"line 3: storage_limit.*KB, MB, GB"),
        (HEAD + "0,0.4 MB or so,5,1\n", r"line 2: storage_limit"),
        (HEAD + '0,"1,5 MB",5,1\n', r"line 2: storage_limit"),
        (HEAD + "0,inf MB,5,1\n", r"line 2: storage_limit"),
        (HEAD + "0,-1 MB,5,1\n", r"line 2: storage_limit"),
        (HEAD + "0,9,5,1,7\n", r"line 2: more values than columns"),
        (HEAD + "0,9,5\n", r"line 2: base_latency_s: Field required"),
        (HEAD + ROWS + "4,1 MB,-5,1\n", r"line 6: gpu_capacity_watt"),
        ("edge," + HEAD + "a,0,9,five,1\n", r"line 2: gpu_capacity_watt"),
        ("edge," + HEAD + "a,0,9,5,1\n,1,9,5,1\n", "some devices name an edge and some do not"),
        ("", "expected a list of clusters or of devices"),
    ],
)
def test_what_is_wrong_in_csv_is_named_with_its_line(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "fleet.csv"
    path.write_text(text)
    with pytest.raises(SettingsError, match=named):
        read_fleet(path)


GOOD = "{id: 0, storage_limit: 9, gpu_capacity_watt: 5, base_latency_s: 1}"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("- 1\n- 2\n", r"fleet\.yaml, line 1: expected a device by field, found 1"),
        (f"- {GOOD}\n- {{id: 1}}\n", r"line 2: storage_limit: Field required"),
        (f"- edge: a\n  devices:\n    - {GOOD}\n    - {{id: x}}\n", r"line 4: id"),
        (f"- {GOOD[:-1]}, wanted: 7}}\n", "line 1: wanted"),
        (f"- edge: a\n  colour: 1\n  devices: [{GOOD}]\n", r"line 1: colour: unknown"),
        (f"- devices: [{GOOD}]\n", r"line 1: a cluster needs an edge"),
        (f"clusters: two\ndevices: [{GOOD}]\n", "clusters: 'two' is not a whole number"),
        (f"clusters: 0\ndevices: [{GOOD}]\n", "0 clusters of 1 devices"),
        ("devices: {", "not YAML"),
        ("seed: 0\n", "line 1: seed: unknown"),
    ],
)
def test_what_is_wrong_in_yaml_is_named_with_its_line(
    tmp_path: Path, text: str, named: str
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=named) as caught:
        read_fleet(path)
    assert "\n" not in str(caught.value)


NEW = {"id": 9, "storage_limit": 500000, "gpu_capacity_watt": 7.5, "base_latency_s": 0.03}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fleet.csv", HEAD + ROWS.rstrip()),
        ("fleet.yaml", f"# ours\nclusters: 1\ndevices:\n  - {GOOD}  # the old one\n"),
        ("fleet.yml", f"- {GOOD}  # the old one\n"),
        ("new.csv", None),
        ("new.yaml", None),
    ],
)
def test_a_device_is_added_and_comments_stay(tmp_path: Path, name: str, text: str | None) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    before = [d["id"] for c in read_fleet(path) for d in c["devices"]] if text else []
    append_row(path, NEW)
    after = [d for c in read_fleet(path) for d in c["devices"]]
    assert sorted(d["id"] for d in after) == [*sorted(before), 9]
    assert {**NEW, "group": 0} in after
    assert ("# the old one" in path.read_text()) == ("# the old one" in (text or ""))
    with pytest.raises(SettingsError, match="has a device 9 already"):
        append_row(path, NEW)


def test_a_device_may_name_its_context(tmp_path: Path) -> None:
    path = tmp_path / "fleet.csv"
    path.write_text("id,context,storage_limit,gpu_capacity_watt,base_latency_s\n0,night,9000,5,1\n")
    [cluster] = read_fleet(path)
    assert cluster["devices"][0]["context"] == "night"


def test_no_device_is_added_where_edges_are_named(tmp_path: Path) -> None:
    path = tmp_path / "fleet.csv"
    path.write_text("edge," + HEAD + "a,0,9,5,1\n")
    with pytest.raises(SettingsError, match="by hand"):
        append_row(path, NEW)
    with pytest.raises(SettingsError, match="cannot be clustered"):
        read_fleet(path, 1)
