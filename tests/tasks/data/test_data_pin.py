"""The pin: DVC's own hash, every wrong file named, nothing re-pinned unasked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.data import pin
from tasks.run.errors import DataError, StageError

FILES = {"a/b/x": b"1", "a-b/x": b"22", "a.b/y": b"333", "ü/z": b"4444", "top": b"", ".hid": b"5"}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def by_hand(folder: Path) -> Path:
    """A pin without DVC."""
    path = folder.parent / "data.dvc"
    pin.write_checksums(folder, pin.checksums_path(path))
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    path.write_text(
        f"outs:\n- md5: {pin.folder_id(folder)}\n  size: {size}\n  path: {folder.name}\n"
    )
    return path


def dvc(root: Path, *words: str) -> str:
    command = [sys.executable, "-m", "dvc", *words]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def dvcs_hash(folder: Path) -> str:
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db.local import LocalHashFileDB
    from dvc_objects.fs.local import LocalFileSystem

    fs = LocalFileSystem()
    odb = LocalHashFileDB(fs, str(folder.parent / "odb"))
    return str(build(odb, str(folder), fs, "md5", dry_run=True)[2].hash_info.value)


def test_the_hash_is_dvcs(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", FILES)
    (folder / "link").symlink_to("a")  # DVC does not follow it
    assert pin.folder_id(folder) == dvcs_hash(folder)


NAMES = st.text(alphabet="ab-.é ", min_size=1, max_size=4).filter(lambda n: n.strip(". "))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=st.dictionaries(st.tuples(NAMES, NAMES), st.binary(max_size=4), min_size=1, max_size=8))
def test_the_hash_is_dvcs_whatever_the_names(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[tuple[str, str], bytes]
) -> None:
    root = tmp_path_factory.mktemp("tree")
    folder = write(root / "data", {"/".join(k): v for k, v in tree.items()})
    assert pin.folder_id(folder) == dvcs_hash(folder)


def test_pin_and_cache_with_dvc_itself(tmp_path: Path) -> None:
    """One test for all of DVC's commands: each costs a second."""
    dvc(tmp_path, "init", "--no-scm", "--quiet")
    folder, path = write(tmp_path / "cars", FILES), tmp_path / "data.dvc"
    pin.pin(folder, path)  # whatever the folder is called, the pin is data.dvc
    written = path.read_bytes()
    assert not (tmp_path / "cars.dvc").exists()
    assert "up to date" in dvc(tmp_path, "status")
    assert pin.verify(folder, path) == pin.content_id(path) == dvcs_hash(folder)

    subprocess.run(["rm", "-rf", str(tmp_path / ".dvc/cache")], check=True)  # a fresh clone
    assert "not in cache" in dvc(tmp_path, "status")
    pin.cache(folder, path)
    assert "up to date" in dvc(tmp_path, "status")
    assert path.read_bytes() == written

    (folder / "top").write_bytes(b"tampered")
    with pytest.raises(DataError, match="top is damaged or tampered with"):
        pin.cache(folder, path)
    assert path.read_bytes() == written
    pin.pin(folder, path)  # on purpose
    assert path.read_bytes() != written
    assert pin.verify(folder, path) == dvcs_hash(folder)


def test_sha256sum_reads_the_checksums(tmp_path: Path) -> None:
    path = by_hand(write(tmp_path / "data", FILES))
    command = ["sha256sum", "--check", "--strict", str(pin.checksums_path(path))]
    done = subprocess.run(command, cwd=tmp_path / "data", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": OK") == len(FILES)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: (d / "a.b/y").write_bytes(b"34"), [r"a\.b/y is truncated \(it lacks 1 byte\)"]),
        (lambda d: (d / "a.b/y").write_bytes(b"334"), [r"a\.b/y is damaged or tampered"]),
        (lambda d: (d / "a.b/y").unlink(), [r"a\.b/y is missing"]),
        (lambda d: (d / "new").touch(), ["new is unexpected"]),
        (lambda d: (d / "top").rename(d / "up"), ["top is missing", "up is unexpected"]),
        (
            lambda d: [(d / n).write_bytes(b"") for n in ("a.b/y", "a-b/x")],
            [r"a-b/x is damaged", r"a\.b/y is damaged"],
        ),
    ],
)
def test_every_wrong_file_is_named_and_the_pin_stays(
    tmp_path: Path, change, words: list[str]
) -> None:
    folder = write(tmp_path / "data", FILES)
    path = by_hand(folder)
    assert pin.verify(folder, path) == pin.content_id(path)
    before = path.read_bytes(), pin.checksums_path(path).read_bytes()
    change(folder)
    for phrase in [*words, "acme data fetch", "acme data pin"]:
        with pytest.raises(DataError, match=phrase):
            pin.verify(folder, path)
    assert (path.read_bytes(), pin.checksums_path(path).read_bytes()) == before
    named = str(pin.differences(folder, path))
    assert not [n for n in FILES if n + " is" in named and n not in str(words).replace("\\", "")]


def test_what_is_wrong_with_the_pin_itself_is_said(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", FILES)
    path = tmp_path / "data.dvc"
    with pytest.raises(DataError, match=r"No such file.*acme data pin"):
        pin.verify(folder, path)
    for content in ("outs: []", "a: [", "{}", "outs: 3", "outs:\n- md5:\n"):
        path.write_text(content)
        with pytest.raises(DataError, match=r"not a DVC pin.*git checkout"):
            pin.verify(folder, path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not a DVC pin"):
        pin.verify(folder, path)
    by_hand(folder)
    with pytest.raises(DataError, match=r"pins data, not .*other"):
        pin.verify(write(tmp_path / "other", FILES), path)
    with pytest.raises(DataError, match=r"nowhere: missing.*acme data fetch"):
        pin.verify(tmp_path / "nowhere", path)
    (folder / "top").write_bytes(b"tampered")
    pin.write_checksums(folder, pin.checksums_path(path))  # of other content than the pin's
    with pytest.raises(DataError, match="is of another pin"):
        pin.verify(folder, path)
    pin.checksums_path(path).unlink()
    with pytest.raises(DataError, match="is missing, so the files"):
        pin.verify(folder, path)


@pytest.mark.parametrize("before", [True, False])
def test_a_pin_that_dvc_refuses_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    folder = write(tmp_path / "data", FILES)
    if before:
        by_hand(folder)
    kept = {p: p.read_bytes() for p in tmp_path.glob("data.*")}
    (folder / "top").write_bytes(b"changed")

    def fails(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, stdout="", stderr="ERROR: lock")

    monkeypatch.setattr(pin.subprocess, "run", fails)
    with pytest.raises(StageError, match="ERROR: lock"):
        pin.pin(folder, tmp_path / "data.dvc")
    assert {p: p.read_bytes() for p in tmp_path.glob("data.*")} == kept
    assert len(kept) == (2 if before else 0)


def test_nothing_and_odd_names_are_not_pinned(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match="no files to pin"):
        pin.write_checksums(tmp_path / "data", tmp_path / "data.sha256")
    write(tmp_path / "data", {"a\nb": b""})
    with pytest.raises(DataError, match="cannot pin"):
        pin.write_checksums(tmp_path / "data", tmp_path / "data.sha256")
    assert not (tmp_path / "data.sha256").exists()
