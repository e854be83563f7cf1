"""A fleet from a file: with edges, without, and with faults that are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.errors import SettingsError
from tasks.fleet import parameters_from, read_fleet

HEAD = "id,storage_limit,gpu_capacity_watt,base_latency_s\n"
ROWS = "0,0.4 MB,5,2.0\n1,420 KB,5,1.9\n2,0.02 GB,200,0.06\n3,20 MB,220,0.06\n"


@pytest.mark.parametrize(
    ("limit", "parameters"),
    [(90000, 90000), ("90000", 90000), ("0.4 MB", 100000), ("400 kb", 100000), ("1 GB", 250000000)],
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


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (HEAD + "0,two MB,5,1\n", r"fleet\.csv: device 1: storage_limit"),
        (HEAD + "0,1 acre,5,1\n", r"device 1: storage_limit.*KB, MB, GB"),
        (HEAD + ROWS + "4,1 MB,-5,1\n", r"device 5: gpu_capacity_watt"),
        ("edge," + HEAD + "a,0,9,5,1\n,1,9,5,1\n", "some devices name an edge and some do not"),
        ("", "expected a list of clusters or of devices"),
    ],
)
def test_what_is_wrong_is_named_with_its_row(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "fleet.csv"
    path.write_text(text)
    with pytest.raises(SettingsError, match=named):
        read_fleet(path)
