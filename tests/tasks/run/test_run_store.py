"""The store: content-named, whole or not at all, and damage is noticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from tasks.run import store
from tasks.run.errors import ArtifactError
from tasks.run.files import atomic_write, read_json, write_json
from tasks.run.store import PLACE, Store, adopt, publish, put_tensors, read_tensors

pytestmark = pytest.mark.usefixtures("in_tmp")


def test_tensors_and_their_configuration_come_back() -> None:
    ref = put_tensors("model", {"w": torch.arange(3.0)}, {"dim": 3})
    tensors, config = read_tensors(ref)
    assert tensors["w"].tolist() == [0.0, 1.0, 2.0]
    assert config == {"dim": 3}


def test_other_content_never_takes_an_earlier_content_s_place() -> None:
    first = put_tensors("model", {"w": torch.zeros(1)})
    second = put_tensors("model", {"w": torch.ones(1)})
    assert first != second
    assert first == put_tensors("model", {"w": torch.zeros(1)})
    assert read_tensors(first)[0]["w"].item() == 0


def test_a_reference_means_the_same_wherever_the_content_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = put_tensors("model", {"w": torch.ones(1)})
    file = publish(ref, tmp_path / "edge-0.safetensors")
    monkeypatch.setenv(PLACE, str(tmp_path / "another"))
    with pytest.raises(ArtifactError, match="No such file"):
        read_tensors(ref)
    assert adopt("model", file) == ref
    assert read_tensors(ref)[0]["w"].item() == 1
    Store.here().path(ref).write_bytes(b"torn")
    assert adopt("model", file) == ref
    assert read_tensors(ref)[0]["w"].item() == 1


def test_a_file_that_is_known_is_taken_without_reading_it_until_it_looks_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = put_tensors("model", {"w": torch.zeros(1)})
    file = publish(ref, tmp_path / "left" / "model.safetensors")
    moved = file.parent.rename(tmp_path / "moved") / file.name
    with monkeypatch.context() as patch:
        patch.setattr(store, "read_bytes", pytest.fail)
        patch.setattr(Store, "put", pytest.fail)
        assert adopt("model", moved) == ref
    other = store.encode({"w": torch.ones(1)})
    kept = Store.here().path(ref)
    for place in (kept, moved):  # as long as before, and changed at another time
        place.write_bytes(other)
        os.utime(place, ns=(0, place.stat().st_mtime_ns + 10**9))
    assert adopt("model", moved) != ref
    publish(adopt("model", moved), moved)
    kept.unlink()
    back = put_tensors("model", {"w": torch.zeros(1)})
    assert back == ref
    kept.write_bytes(other)
    os.utime(kept, ns=(0, kept.stat().st_mtime_ns + 10**9))
    file = tmp_path / "again.safetensors"
    file.write_bytes(store.encode({"w": torch.zeros(1)}))
    assert adopt("model", file) == ref, "what was damaged is whole again"
    assert read_tensors(ref)[0]["w"].item() == 0


def test_every_read_notices_changed_content(tmp_path: Path) -> None:
    ref = put_tensors("model", {"w": torch.zeros(1)})
    Store.here().path(ref).write_bytes(b"something else")
    with pytest.raises(ArtifactError, match="content changed"):
        read_tensors(ref)
    with pytest.raises(ArtifactError, match="content changed"):
        publish(ref, tmp_path / "copy")


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


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("artifacts/work/results/x", "Delete the folder artifacts/work, which is made anew"),
        ("artifacts/nightly/device-00/trained_on.json", "Delete the folder artifacts/nightly"),
        ("artifacts/partition/samples/x.safetensors", "Try: acme stage partition"),
        ("cases/a/artifacts/backbone/x.safetensors", "Try: acme stage backbone"),
        ("artifacts/summary.json", "Try: acme stage evaluate"),
        ("artifacts/evaluation/fig9.json", "Try: acme evaluate"),
        ("kept/summary.json", "Restore it"),
    ],
)
def test_what_to_do_about_a_damaged_file_depends_on_who_writes_it(path: str, remedy: str) -> None:
    (Path(path).parent).mkdir(parents=True)
    Path(path).write_bytes(b"{torn")
    with pytest.raises(ArtifactError, match=remedy):
        read_json(Path(path))
    Path(path).unlink()
    lost = "Try: acme run" if "acme stage" in remedy else remedy  # which notices that it is gone
    with pytest.raises(ArtifactError, match=lost):
        read_json(Path(path))


def test_a_cached_result_that_refers_to_lost_content_goes_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To delete the content alone would leave a result without it, for ever."""
    ref = put_tensors("model", {"w": torch.ones(1)})
    Store.here().path(ref).unlink()
    with pytest.raises(ArtifactError, match=r"Delete the folder artifacts/work, which"):
        read_tensors(ref)
    monkeypatch.setenv(PLACE, "elsewhere")
    monkeypatch.setenv("PREFECT_LOCAL_STORAGE_PATH", "results")
    with pytest.raises(ArtifactError, match=r"Delete the folders elsewhere .* and results, and"):
        read_tensors(ref)
    Store.here().path(ref).parent.mkdir(parents=True)
    Store.here().path(ref).write_bytes(b"torn")
    with pytest.raises(ArtifactError, match=r"Delete the folders elsewhere .* and results, and"):
        read_tensors(ref)


def test_a_place_below_a_file_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ArtifactError, match="cannot write"):
        atomic_write(tmp_path / "file/below", b"x")
