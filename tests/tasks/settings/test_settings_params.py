"""Settings: the shipped file is valid, and what is wrong in one is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.run.errors import SettingsError
from tasks.settings.fields import read_yaml, yaml_text
from tasks.settings.params import load
from tasks.setup.defaults import SHIPPED

PARAMS = Path(__file__).parents[3] / "params.yaml"


def changed(tmp_path: Path, **changes: Any) -> Path:
    """The shipped settings with dotted names changed, as a file."""
    values = read_yaml(PARAMS)
    for dotted, value in changes.items():
        *parents, last = dotted.split("__")
        target = values
        for parent in parents:
            target = target[parent]
        target[last] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml_text(values))
    return path


def test_the_shipped_settings_describe_three_edges_with_four_devices() -> None:
    settings = load(PARAMS)
    assert [len(c.devices) for c in settings.fleet] == [4, 4, 4]
    assert settings.partition.heterogeneity == "C2"
    assert settings.partition.samples_per_device <= 500


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": "zero"}, "seed"),
        ({"partition__shared_fraction": 0.5}, "partition.shared_fraction"),
        ({"partition__train_fraction": 0.9}, "test split"),
        ({"edge__colour": 1}, "edge.colour"),
        ({"backbone__depths": [2, 9]}, "6 layers"),
        ({"backbone__reference__dim": 65}, "multiple of heads"),
        ({"fleet": []}, "fleet"),
        ({"partition__slots": 3}, "device id 11"),
        ({"matching__quorum": 1.5}, "matching.quorum"),
        (
            {"data__encoder": "minilm"},
            "data: encoder: it is for texts",
        ),
        ({"data__source": "manifest", "data__encoder": "x"}, r"sensors: they see images"),
        ({"data__source": "manifest", "data__encoder": ""}, "data.encoder"),
        ({"data__length": 3}, "data.length"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named) as caught:
        load(changed(tmp_path, **changes))
    assert "\n" not in str(caught.value)


def test_a_manifest_is_of_texts_where_the_settings_name_an_encoder(tmp_path: Path) -> None:
    images = changed(tmp_path, data__source="manifest", data__sensors=[])
    assert load(images).data.modality == "image"
    named = {"data__encoder": "minilm", "partition__public_contexts": None}
    texts = changed(tmp_path, data__source="manifest", data__sensors=[], **named)
    assert load(texts).data.modality == "text"
    assert load(texts).data.length == 32


def test_what_texts_change_in_the_shipped_settings_can_be_loaded() -> None:
    overlay = read_yaml(SHIPPED / "text.yaml")
    overlay["data"]["source"] = "manifest"
    settings = load(PARAMS, overlay)
    assert settings.data.modality == "text"
    assert not settings.backbone.cnn.epochs
    assert settings.backbone.widths == load(PARAMS).backbone.widths  # of which it says nothing


def test_settings_of_before_the_matching_had_a_quorum_are_read(tmp_path: Path) -> None:
    values = read_yaml(PARAMS)
    del values["matching"]["quorum"]
    (tmp_path / "params.yaml").write_text(yaml_text(values))
    assert load(tmp_path / "params.yaml") == load(PARAMS)


def test_a_device_id_may_appear_once(tmp_path: Path) -> None:
    device = {"id": 1, "storage_limit": 10, "gpu_capacity_watt": 1, "base_latency_s": 1}
    fleet = [{"edge": "a", "devices": [device, device]}]
    with pytest.raises(SettingsError, match="device id 1"):
        load(changed(tmp_path, fleet=fleet))


def test_megabytes_count_four_bytes_a_parameter(tmp_path: Path) -> None:
    device = {"id": 1, "storage_limit": "0.4 MB", "gpu_capacity_watt": 1, "base_latency_s": 1}
    settings = load(changed(tmp_path, fleet=[{"edge": "a", "devices": [device]}]))
    assert settings.fleet[0].storage_limit == 100_000


def test_a_fleet_may_be_a_csv_file(tmp_path: Path) -> None:
    (tmp_path / "fleet.csv").write_text(
        "edge,id,group,storage_limit,gpu_capacity_watt,base_latency_s\n"
        "north,0,0,90000,5,1\nsouth,1,1,1 MB,5,1\nnorth,2,0,80000,5,1\n"
    )
    fleet = load(changed(tmp_path, fleet="fleet.csv")).fleet
    assert [(c.edge, [d.id for d in c.devices]) for c in fleet] == [
        ("north", [0, 2]),
        ("south", [1]),
    ]
    assert fleet[0].storage_limit == 80_000


def test_a_missing_fleet_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.csv"):
        load(changed(tmp_path, fleet="none.csv"))


@pytest.mark.parametrize("content", ["a: [", "- 1\n- 2", "\x00\x01"])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(content)
    with pytest.raises(SettingsError, match=r"params\.yaml"):
        load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere"):
        load(tmp_path / "nowhere.yaml")


def test_yaml_is_of_version_1_2(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("lr: 1e-3\nanswer: yes\nname: 012\n")
    assert read_yaml(path) == {"lr": 1e-3, "answer": "yes", "name": 12}


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS.read_text() + "\nseed: 1\n")
    with pytest.raises(SettingsError, match='duplicate key "seed"') as error:
        load(path)
    assert "suppress" not in str(error.value)
