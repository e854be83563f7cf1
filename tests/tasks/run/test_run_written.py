"""What a stage leaves is replaced whole or not at all, and every read of it is checked."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tasks.run.errors import ArtifactError
from tasks.run.files import write_json
from tasks.run.store import Store, take
from tasks.run.written import (
    SUMS,
    check_written,
    read_written,
    read_written_json,
    replacing,
    rewriting,
    rewriting_in,
    write_sums,
)

pytestmark = pytest.mark.usefixtures("in_tmp")

OUT = Path("artifacts/partition")


@pytest.fixture
def out() -> Path:
    """What a stage left."""
    with rewriting(OUT) as new:
        write_json(new / "data.json", {"classes": 3})
        for device in ("device-00", "device-01"):
            (new / "samples").mkdir(exist_ok=True)
            (new / f"samples/{device}.safetensors").write_bytes(device.encode() * 50)
    return OUT


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped": (flipped, "changed since it was written"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:9]), "changed since"),
    "longer": (lambda path: path.write_bytes(path.read_bytes() + b" "), "changed since"),
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "missing": (lambda path: path.unlink(), "No such file"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "Is a directory"),
    "other JSON": (lambda path: path.write_text('{"classes": 4}'), "changed since"),
    "another device's": (
        lambda path: path.write_bytes((OUT / "samples/device-01.safetensors").read_bytes()),
        "holds what was written to samples/device-01.safetensors",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["data.json", "samples/device-00.safetensors"])
def test_what_is_not_as_written_is_named(out: Path, name: str, damage: str) -> None:
    do, why = DAMAGES[damage]
    do(out / name)
    remedy = "Try: acme run" if damage == "missing" else "Try: acme stage partition"
    for read in (read_written, read_written_json, lambda *place: take("samples", *place)):
        with pytest.raises(ArtifactError, match=f"^{out / name}: {why}.* {remedy}$"):
            read(out, name)


def test_what_is_as_written_is_read(out: Path) -> None:
    assert read_written_json(out, "data.json") == {"classes": 3}
    ref = take("samples", out, "samples/device-00.safetensors")
    assert Store.here().read(ref) == b"device-00" * 50
    check_written(out, "samples/device-00.safetensors", ref.sha256)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "missing"])
def test_sums_that_are_damaged_let_nothing_pass(out: Path, damage: str) -> None:
    """A flipped byte of theirs is noticed by the reader of the file that the line is of."""
    DAMAGES[damage][0](out / SUMS)
    said = []
    for name in ("data.json", "samples/device-00.safetensors", "samples/device-01.safetensors"):
        with suppress(ArtifactError):
            read_written(out, name)
            continue
        with pytest.raises(ArtifactError, match="Try: acme stage partition"):
            read_written(out, name)
        said.append(name)
    assert len(said) == (1 if damage == "flipped" else 3)


def test_a_line_of_the_sums_that_no_longer_ends_is_noticed(out: Path) -> None:
    """A bit makes another character of a line's end that some take for one."""
    sums = out / SUMS
    sums.write_bytes(sums.read_bytes().replace(b"\n", b"\x0b", 1))
    with pytest.raises(ArtifactError, match="Try: acme stage partition"):
        read_written(out, "data.json")


def test_a_file_that_no_stage_wrote_is_not_read(out: Path) -> None:
    write_json(out / "more.json", {})
    with pytest.raises(ArtifactError, match="does not know it"):
        read_written(out, "more.json")


def test_a_part_has_sums_of_its_own_and_a_shell_can_check_them(out: Path) -> None:
    with rewriting(out) as new:
        write_json(new / "data.json", {"classes": 4})
        write_json(new / "pin.json", {})
        write_sums(new, ["data.json"], part="cloud")
    assert [line.split()[1] for line in (out / SUMS).read_text().splitlines()] == ["pin.json"]
    (out / SUMS).unlink()
    assert read_written_json(out, "data.json") == {"classes": 4}
    command = ["sha256sum", "--check", "--quiet", f"{SUMS}.cloud"]
    subprocess.run(command, cwd=out, check=True)


@pytest.mark.parametrize("write", [rewriting, replacing])
def test_a_failure_leaves_what_was_there(out: Path, write: Callable[..., object]) -> None:
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    with suppress(KeyError), write(out) as new:  # type: ignore[attr-defined]
        write_json(new / "data.json", {})
        raise KeyError
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    assert [p.name for p in out.parent.iterdir()] == [out.name]


def test_what_is_not_written_again_goes(out: Path) -> None:
    with rewriting(out) as new:
        write_json(new / "data.json", {})
    assert {p.name for p in out.rglob("*")} == {"data.json", SUMS}


def test_of_a_shared_folder_only_what_is_written_is_replaced(out: Path) -> None:
    shared = out.parent
    for number in (1, 2):
        with rewriting_in(shared, "evaluate") as new:
            (new / "models").mkdir()
            (new / f"models/{number}").write_text("weights")
            write_json(new / "summary.json", {"seed": number})
    assert {p.name for p in shared.iterdir()} == {out.name, "models", "summary.json", SUMS}
    assert [p.name for p in (shared / "models").iterdir()] == ["2"]
    assert read_written_json(shared, "summary.json") == {"seed": 2}
    assert read_written_json(out, "data.json") == {"classes": 3}
    with suppress(KeyError), rewriting_in(shared, "evaluate") as new:
        write_json(new / "summary.json", {"seed": 3})
        raise KeyError
    assert read_written_json(shared, "summary.json") == {"seed": 2}


def test_what_a_killed_run_left_in_the_way_is_no_matter(out: Path) -> None:
    out.rename(out.with_name(f".{out.name}.old"))  # killed between two renames
    ended = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True)
    for pid in (ended.stdout.strip(), os.getppid()):
        (out.with_name(f".{out.name}.{pid}.new") / "half").mkdir(parents=True)
    with rewriting(out) as new:
        write_json(new / "data.json", {})
    running = f".{out.name}.{os.getppid()}.new"
    assert {p.name for p in out.parent.iterdir()} == {out.name, running}


def test_a_place_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ArtifactError, match="cannot write"), rewriting(tmp_path / "file/below"):
        pass
