"""The store: content-named, whole or not at all, and damage is noticed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tasks.run.errors import ArtifactError
from tasks.run.files import WORK, atomic_write, publish, read_json, write_json
from tasks.run.store import put_tensors, read_tensors


def test_tensors_and_their_configuration_come_back(tmp_path: Path) -> None:
    ref = put_tensors(tmp_path, "model", {"w": torch.arange(3.0)}, {"dim": 3})
    tensors, config = read_tensors(ref)
    assert tensors["w"].tolist() == [0.0, 1.0, 2.0]
    assert config == {"dim": 3}


def test_other_content_never_takes_an_earlier_file_s_place(tmp_path: Path) -> None:
    first = put_tensors(tmp_path, "model", {"w": torch.zeros(1)})
    second = put_tensors(tmp_path, "model", {"w": torch.ones(1)})
    assert first.path != second.path
    assert read_tensors(first)[0]["w"].item() == 0


def test_changed_content_is_noticed(tmp_path: Path) -> None:
    ref = put_tensors(tmp_path, "model", {"w": torch.zeros(1)})
    with pytest.raises(ArtifactError, match="content changed"):
        read_tensors(replace(ref, sha256="0" * 64))
    with pytest.raises(ArtifactError, match="content changed"):
        publish(replace(ref, sha256="0" * 64), tmp_path / "copy")


def test_a_file_that_is_not_safetensors_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not tensors at all")
    with pytest.raises(ArtifactError, match=r"model\.safetensors"):
        read_tensors(path)
    with pytest.raises(ArtifactError, match="nowhere"):
        read_tensors(tmp_path / "nowhere")


def test_a_full_disk_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.json"
    write_json(path, {"a": 1})

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match="No space left"):
        atomic_write(path, b"{}")
    monkeypatch.undo()
    assert read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]


def test_damaged_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text("{")
    with pytest.raises(ArtifactError, match=r"summary\.json"):
        read_json(path)


def test_what_to_do_about_a_lost_file_depends_on_who_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cached result refers to what lies in artifacts/work: deleting the file alone would leave a
    result without its file, for ever."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactError, match=r"Delete the folder artifacts/work"):
        read_tensors(WORK / "backbone/x.safetensors")
    with pytest.raises(ArtifactError, match=r"Run the stage that writes it: acme run"):
        read_tensors(Path("artifacts/backbone/x.safetensors"))
