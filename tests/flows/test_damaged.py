"""A byte that flips in what a run left is one clear error, or what it was is made again: never
another result."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.command.init import stages
from flows.command.table import print_fleet
from tasks.data.samples import read_content_id, read_contexts, read_world, with_spare
from tasks.data.skipped import read_skipped
from tasks.links.ledger import read_ledger
from tasks.report import outputs
from tasks.run.errors import ArtifactError
from tasks.settings.case import Case
from tasks.settings.fields import read_yaml, yaml_text
from tasks.settings.stages import ACME, STAGES

DEVICES = [f"device-0{i}" for i in range(4)]
NOBODY_READS = {"manifest.parquet", "report.html", "accuracy.svg", "variants.csv", "devices.csv"}
"""These are for people and for `dvc plots`."""


def read_partition(case: Case) -> object:
    place = case.partition
    beside = read_contexts(place), read_skipped(place), read_content_id(place)
    return with_spare(read_world(place, DEVICES), place), beside


def read_cloud_s(case: Case) -> object:
    out = case.backbone
    cuts = [outputs.read_cut(out, edge) for edge in ("north", "south")]
    found = outputs.read_elastic(out), outputs.read_variants(out), outputs.read_matches(out)
    reference = outputs.read_reference(out), outputs.read_reference_model(out)
    return cuts, found, reference, outputs.read_cnn(out), read_ledger(out).to_json()


def read_edges(case: Case) -> object:
    out = case.customize
    readers = (
        outputs.read_searches,
        outputs.read_mixings,
        outputs.read_rounds,
        outputs.read_receipts,
        outputs.read_kept,
        outputs.read_trained_on,
    )
    backbones = [outputs.read_backbone(out, edge) for edge in ("north", "south")]
    return backbones, [read(out) for read in readers], read_ledger(out).to_json()


READERS: dict[str, Callable[[Case], object]] = {
    "partition": read_partition,
    "backbone": read_cloud_s,
    "customize": read_edges,
    "summary.json": lambda case: print_fleet(case.summary),
}


def flip(path: Path) -> None:
    """Flip a bit in the middle of a file, and leave its size and its times as they were: bits that
    rot change neither."""
    content, times = bytearray(path.read_bytes()), path.stat()
    content[len(content) // 2] ^= 1
    with path.open("r+b") as file:  # the same inode
        file.write(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@contextmanager
def flipped(path: Path) -> Iterator[None]:
    """With a flipped bit while the block runs."""
    flip(path)
    try:
        yield
    finally:
        flip(path)


def kinds(folder: Path) -> dict[str, Path]:
    """A file of each kind below a folder: their names without what numbers and names them."""
    files = sorted(p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else [folder]
    names = r"\d+|north|south|(?<=headers/N-)[a-z-]+"
    return {re.sub(names, "N", str(p.relative_to(folder.parent))): p for p in files}


@pytest.mark.parametrize("place", READERS)
def test_every_reader_notices_a_flipped_bit(
    working: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    case, read = Case(working), READERS[place]
    before = read(case)
    noticed = set()
    for kind, path in kinds(case.artifacts / place).items():
        with flipped(path):
            if path.name in NOBODY_READS:
                assert read(case) == before
                continue
            with pytest.raises(ArtifactError) as error:
                read(case)
        words = str(error.value)
        assert path.name.startswith("SHA256SUMS") or str(path.relative_to(working)) in words
        assert re.search(r"Try: acme stage (partition|backbone|customize|evaluate)$", words)
        noticed.add(kind)
    assert len(noticed) >= {"summary.json": 1, "partition": 5}.get(place, 6)
    assert read(case) == before


# ---- the commands themselves ----


def acme(root: Path, *words: str) -> tuple[int, list[str]]:
    """An `acme` command: its exit code, and what it said on standard error."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
    done = subprocess.run(
        [*ACME, *words], cwd=root, env=env, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr.splitlines()


def contents(root: Path) -> dict[str, bytes]:
    """All that the stages left, and DVC's lock."""
    files = [p for p in (root / "artifacts").rglob("*") if p.is_file()]
    kept = [p for p in files if not {"work", "validation"} & set(p.parts)]
    return {str(p.relative_to(root)): p.read_bytes() for p in (*kept, root / "dvc.lock")}


@pytest.fixture
def known(finished: Path, tmp_path: Path) -> Path:
    """A finished project whose stages DVC knows to be done."""
    root = tmp_path / "known"
    shutil.copytree(finished, root)
    (root / "dvc.yaml").write_text(stages(Case(root), read_yaml(root / "params.yaml")))
    dvc = [sys.executable, "-m", "dvc", "commit", "--quiet", "--force", *STAGES]
    subprocess.run(dvc, cwd=root, check=True)
    return root


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("backbone/north.safetensors", ["stage", "customize"]),
        ("backbone/elastic.safetensors", ["stage", "evaluate"]),
        ("partition/samples/device-01.safetensors", ["stage", "customize"]),
        ("partition/samples/cloud.safetensors", ["stage", "backbone"]),
        ("partition/samples/device-01.safetensors", ["export", "1"]),
        ("partition/data.json", ["stage", "customize"]),
        ("customize/rounds.json", ["stage", "evaluate"]),
        ("summary.json", ["fleet"]),
        ("summary.json", ["run"]),
    ],
)
def test_a_command_names_what_is_damaged_and_its_remedy_works(
    known: Path, file: str, words: list[str]
) -> None:
    path = known / "artifacts" / file
    whole, before = path.read_bytes(), contents(known)
    flip(path)
    code, said = acme(known, *words)
    assert code == 2, said
    assert len([line for line in said if line.startswith("acme: ")]) == 1
    assert f"artifacts/{file}: changed since it was written" in said[-1]
    remedy = said[-1].rpartition("Try: acme ")[2].split()
    flip(path)
    assert contents(known) == before, "nothing was touched"
    flip(path)
    assert acme(known, *remedy)[0] == 0
    if file != "summary.json":
        assert path.read_bytes() == whole
    assert acme(known, *words)[0] == 0


@pytest.mark.slow
def test_what_changed_visibly_is_put_back(known: Path) -> None:
    before = contents(known)
    for file in ("backbone/north.safetensors", "summary.json", "models/device-00/config.json"):
        (known / "artifacts" / file).write_bytes(b"damaged")
    (known / "artifacts/partition/samples/device-02.safetensors").unlink()
    assert acme(known, "run")[0] == 0
    assert contents(known) == before


@pytest.mark.slow
def test_damage_in_the_work_folder_never_gives_another_result(known: Path) -> None:
    before = contents(known)
    work = known / "artifacts/work"
    for number, path in enumerate(sorted(p for p in work.rglob("*") if p.is_file())):
        if number % 3 == 0:
            flip(path)
    code, said = acme(known, "stage", "customize")
    if code:
        assert code == 2
        assert "Delete the folder artifacts/work, which is made anew" in said[-1]
        shutil.rmtree(work)
        assert acme(known, "stage", "customize")[0] == 0
    assert contents(known) == before


@pytest.mark.slow
def test_a_fleet_that_nothing_fits_leaves_the_earlier_outcome(known: Path) -> None:
    before, params = contents(known), read_yaml(known / "params.yaml")
    report = (known / "artifacts/report.html").read_bytes()
    shutil.copy(known / "params.yaml", known / "kept.yaml")
    params["fleet"][0]["devices"][0]["storage_limit"] = 10
    for file, words in (("params.yaml", []), ("other.yaml", ["--params", "other.yaml"])):
        (known / file).write_text(yaml_text(params))
        code, said = acme(known, "run", *words)
        assert code == 2
        assert "fleet: north: its smallest device holds 10 parameters" in said[-1]
        for place in ("backbone", "customize", "models"):
            for name, content in before.items():
                if name.startswith(f"artifacts/{place}/"):
                    assert (known / name).read_bytes() == content, name
        assert (known / "artifacts/report.html").read_bytes() == report
        assert acme(known, "fleet")[0] == 0
        shutil.copy(known / "kept.yaml", known / "params.yaml")
        assert acme(known, "run")[0] == 0
        assert contents(known) == before
