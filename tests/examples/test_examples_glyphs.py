"""Letters and digits in fonts: how they are fetched, drawn and read, and what is made of them. The
fonts are those that matplotlib brings."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image

from examples.glyphs import fonts, measure, table
from examples.glyphs.__main__ import drawn
from examples.glyphs.draw import CLASSES, INSIDE, SIZE, Drawn, draw_all
from tasks.data.dataset import Wanted
from tasks.data.sources import load
from tasks.run.errors import ArtifactError, DataError
from tasks.settings.fields import read_yaml, yaml_text

ROOT = Path(__file__).parents[2]
BROUGHT = Path(matplotlib.get_data_path()) / "fonts/ttf"
FAMILIES = {"sans": "DejaVuSans-*", "mono": "DejaVuSansMono*", "serif": "DejaVuSerif*"}
FAMILIES |= {"stix": "STIXGeneral*"}
ROW = {"reference": 0.98, "full": 0.98, "smallest": 0.94, "cnn": 0.97, "few": 0.9, "seconds": 60.0}
ROW |= {f"unseen_{name}": 0.9 for name in ("reference", "full", "smallest")} | {"unseen_cnn": 0.91}


def lay_out(folder: Path) -> Path:
    """A folder a family."""
    for family, pattern in FAMILIES.items():
        (folder / family).mkdir(parents=True)
        for path in BROUGHT.glob(pattern):
            shutil.copy(path, folder / family)
    shutil.copy(BROUGHT / "DejaVuSans.ttf", folder / "sans")
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Drawn]:
    """Drawn from fonts of which some are of no use; do not change them."""
    root = tmp_path_factory.mktemp("glyphs")
    here = lay_out(root / "fonts")
    shutil.copy(BROUGHT / "STIXSizOneSymReg.ttf", here / "stix")  # symbols alone
    (here / "mono/damaged.ttf").write_bytes(b"no font")
    (here / "twice/deep").mkdir(parents=True)
    shutil.copy(BROUGHT / "DejaVuSerif.ttf", here / "twice/deep/other-name.ttf")
    (here / "empty").mkdir()
    return root / "pictures", draw_all(here, root / "pictures")


def test_what_is_drawn_and_what_is_left_out_is_counted(pictures: tuple[Path, Drawn]) -> None:
    folder, counts = pictures
    assert len(CLASSES) == len(set(CLASSES.values())) == 60
    assert counts.unable == 3  # damaged, and two that have symbols alone
    assert counts.fonts == dict.fromkeys(FAMILIES, 4)
    assert counts.again == 60  # of `twice`
    files = list(folder.glob("*/*/*.png"))
    assert len(files) == counts.pictures
    assert counts.pictures == 60 * 16
    assert len({Image.open(path).tobytes() for path in files}) == len(files)


def test_letters_fill_a_picture_and_none_is_cut_off(pictures: tuple[Path, Drawn]) -> None:
    ink = np.stack([np.asarray(Image.open(p)) for p in pictures[0].glob("*/*/*.png")]) > 127
    assert ink.shape[1:] == (SIZE, SIZE)
    edge = (SIZE - INSIDE) // 2 - 1
    assert not ink[:, :edge].any()
    assert not ink[:, -edge:].any()
    assert not ink[:, :, 0].any()
    assert not ink[:, :, -1].any()
    wide, high = ink.any(1).sum(1), ink.any(2).sum(1)
    assert max(wide.max(), high.max()) >= INSIDE - 2
    capital = np.asarray(Image.open(pictures[0] / "sans/upper-c/DejaVuSans.png"))
    small = np.asarray(Image.open(pictures[0] / "sans/lower-c/DejaVuSans.png"))
    assert (capital > 127).any(1).sum() > 1.2 * (small > 127).any(1).sum()  # on one line


def test_the_same_fonts_give_the_same_pictures(
    pictures: tuple[Path, Drawn], tmp_path: Path
) -> None:
    draw_all(lay_out(tmp_path / "fonts"), tmp_path / "again")
    files = sorted(p.relative_to(tmp_path / "again") for p in tmp_path.glob("again/*/*/*"))
    assert files == sorted(p.relative_to(pictures[0]) for p in pictures[0].glob("*/*/*"))
    for name in files:
        assert (tmp_path / "again" / name).read_bytes() == (pictures[0] / name).read_bytes()


def test_they_are_read_with_a_family_as_a_context(pictures: tuple[Path, Drawn]) -> None:
    data = load("image-folder", pictures[0], Wanted(SIZE, 1, 0, 0.2, context_folders=True))
    assert data.contexts == tuple(sorted(FAMILIES))
    assert data.classes == tuple(sorted(CLASSES))
    assert len(data.train_labels) + len(data.test_labels) == pictures[1].pictures
    assert not data.skipped.words
    given = np.asarray(Image.open(pictures[0] / "mono/digit-7/DejaVuSansMono.png"))
    every = np.concatenate([data.train_samples, data.test_samples])
    assert (every[:, 0] == given).all((1, 2)).any()


def test_each_seed_keeps_other_families_from_the_cloud(pictures: tuple[Path, Drawn]) -> None:
    held = []
    for seed in range(3):
        settings = measure.settings_of(ROOT / "params.yaml", pictures[0], seed)
        theirs = {device.context for device in settings.devices}
        public = set(settings.partition.public_contexts or ())
        assert theirs | public == set(FAMILIES)
        assert not theirs & public
        held.append(theirs)
    assert len(set.union(*held)) == 3
    assert not settings.flip  # letters have a left and a right


def test_a_folder_without_fonts_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "examples.glyphs", "--fonts", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"acme: {tmp_path}: no font")
    assert done.stderr.count("\n") == 1
    with pytest.raises(DataError, match="no font"):
        drawn(tmp_path / "missing", tmp_path / "out")


def test_families_that_are_all_small_are_refused(tmp_path: Path) -> None:
    (tmp_path / "sans/upper-a").mkdir(parents=True)
    (tmp_path / "sans/upper-a/one.png").touch()
    with pytest.raises(DataError, match="no family with 4 pictures of each class"):
        measure.settings_of(ROOT / "params.yaml", tmp_path, 0)


def put_on_path(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Shell scripts in place of Debian's tools."""
    folder.mkdir()
    for name, body in scripts.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin" if scripts else str(folder))


def test_fonts_are_fetched_once_a_folder_a_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring = 'shift 2; for name in "$@"; do touch "${name}_1.0_all.deb"; done'
    put_on_path(tmp_path / "bin", monkeypatch, apt_get=bring, dpkg='mkdir "$3"; cp "$2" "$3"')
    found = fonts.fetch(tmp_path / "work/fonts")
    families = {path.name for path in found.iterdir()}
    assert families == {name.removeprefix("fonts-") for name in fonts.packages_of(fonts.LIST)}
    assert (found / "lato/fonts-lato_1.0_all.deb").exists()
    put_on_path(tmp_path / "none", monkeypatch)
    assert fonts.fetch(tmp_path / "work/fonts") == found


@pytest.mark.parametrize(
    ("scripts", "words"),
    [
        ({}, "no apt-get here"),
        ({"apt_get": "echo E: Unable to locate package fonts-x >&2; exit 100"}, "locate package"),
        ({"apt_get": "touch fonts-x_1_all.deb", "dpkg": "echo dpkg: bad >&2; exit 2"}, "dpkg: bad"),
        ({"apt_get": "exit 7"}, "exit code 7"),
        ({"apt_get": "sleep 9"}, "no answer within"),
    ],
)
def test_where_fonts_cannot_be_had_it_says_what_to_do(
    scripts: dict[str, str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fonts, "TIMEOUT_S", 0.5)
    put_on_path(tmp_path / "bin", monkeypatch, **scripts)
    with pytest.raises(DataError, match=words) as raised:
        fonts.fetch(tmp_path / "work/fonts")
    assert fonts.OTHERWISE in str(raised.value)
    assert not list(tmp_path.glob("work/*")) + list(tmp_path.glob("work/.*"))


def test_the_table_says_which_goals_are_reached() -> None:
    rows = [ROW, ROW | {"reference": 0.95, "unseen_cnn": 0.92, "seconds": 70.0}]
    lines = table.table(rows).splitlines()
    assert "| reference | 0.97 | 0.965 (0.774 to 1.156) | missed |" in lines
    assert (
        "| its variant of width 0.25, depth 2 | 0.93 | 0.940 (0.940 to 0.940) | reached |" in lines
    )
    assert "| reference of 3,000 images | 0.88 | 0.900 (0.900 to 0.900) | reached |" in lines
    [over] = [line for line in lines if line.startswith("| unseen families: reference less CNN")]
    assert "| 0.00 | -0.015 (" in over
    assert over.endswith("| missed |")
    assert lines[-1] == "Seeds: 2. The reference took 70 s at most."


def test_the_table_stands_between_a_page_s_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before {table.BEGIN} old {table.END} after")
    table.publish(page, "new")
    assert page.read_text() == f"before {table.BEGIN}\nnew\n{table.END} after"
    page.write_text("no marks")
    with pytest.raises(ArtifactError, match="are missing"):
        table.publish(page, "new")
    assert page.read_text() == "no marks"


def test_the_page_has_every_line_of_the_table() -> None:
    page = (ROOT / "docs/glyphs.md").read_text()
    between = page.partition(table.BEGIN)[2].partition(table.END)[0]
    for line in table.LINES:
        assert f"| {line.words} | " in between, line.words


@pytest.fixture
def project(
    pinned: Path, prefect_home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A project of its own as the working folder, with tiny settings for the pictures."""
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    root = tmp_path / "project"
    shutil.copytree(pinned, root)
    monkeypatch.chdir(root)
    tiny: dict[str, Any] = read_yaml(measure.SETTINGS)
    tiny["partition"] |= {"public_train": 400, "public_val": 60, "public_test": 60}
    tiny["backbone"]["training"] |= {"steps": 60}
    tiny["backbone"]["cnn"] |= {"steps": 40}
    tiny["backbone"] |= {"distillation": {"width_steps": 5, "depth_steps": 20}}
    (root / "tiny.yaml").write_text(yaml_text(tiny))
    monkeypatch.setattr(measure, "SETTINGS", root / "tiny.yaml")
    monkeypatch.setattr(measure, "FEW", 200)
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: root / "artifacts/work/results"}):
        yield root


@pytest.mark.slow
def test_a_tiny_run_measures_the_product_and_is_reused(
    project: Path, pictures: tuple[Path, Drawn]
) -> None:
    settings = measure.settings_of(ROOT / "params.yaml", pictures[0], 0)
    row = measure.measured(settings)
    assert set(row) == set(ROW)
    assert row["reference"] > 5 / 60  # guessing gives 1 / 60
    assert row["seconds"] > 1
    assert measure.measured(settings) == row
    assert table.table([row]).count("\n") > len(table.LINES)
    world = measure.job_of(settings).world
    dealt = len(measure.all_of_devices(world)[1])
    of_device = list(pictures[0].glob(f"{settings.devices[0].context}/*/*"))
    assert 0.7 * len(of_device) < dealt <= len(of_device)
