"""Settings for a user's own case, and a registered model as reference."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from click.testing import CliRunner, Result
from PIL import Image

from flows.command import cli
from models.backbone.elastic import kept, variant_config
from models.backbone.families.from_timm import config_of
from models.backbone.family import BackboneConfig
from models.backbone.size import backbone_parameters
from tasks.experiments.second import write_digits
from tasks.run.errors import AcmeError, SettingsError
from tasks.settings.fields import read_yaml
from tasks.settings.params import Settings, load
from tasks.settings.sources import SOURCES
from tasks.setup.defaults import Wishes, of_small, reference_config
from tests.listing import write_listing
from tests.texts import write_texts, write_tokenizer

ROOT = Path(cli.__file__).parents[2]
HEAD = "id,storage_limit,gpu_capacity_watt,base_latency_s\n"
FOLDERS = ("flows", "tasks", "models")
FILES = ("pyproject.toml", "README.md", "LICENSE", "params.yaml", "dvc.yaml")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def ask(*arguments: str, answers: str = "") -> Result:
    return CliRunner().invoke(cli.cli, ["init", *arguments], input=answers)


def smallest_fits(settings: Settings, config: BackboneConfig) -> bool:
    """Whether every cluster has room for a variant and its header."""
    small = variant_config(config, min(settings.backbone.widths), min(settings.backbone.depths))
    needed = backbone_parameters(small) + settings.matching.header_budget
    return all(cluster.storage_limit >= needed for cluster in settings.fleet)


@pytest.mark.parametrize("with_test", [False, True])
def test_a_folder_of_images_gives_settings_by_which_it_can_be_divided(
    here: Path, with_test: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    from tasks.data.partitioning import divide
    from tasks.data.skipped import read_skipped

    write_digits(here / "mine/train" if with_test else here / "mine")
    if with_test:
        for file in sorted((here / "mine/train").rglob("*[05].png")):
            moved = here / "mine/test" / file.relative_to(here / "mine/train")
            moved.parent.mkdir(parents=True, exist_ok=True)
            file.rename(moved)
    done = ask("--data", "mine", "--devices", "4", "--clusters", "2", "--yes")
    assert done.exit_code == 0, done.output
    assert "git init && dvc init\n  acme data pin\n  acme run" in done.output
    text = (here / "params.yaml").read_text()
    assert "name: null           # a timm model, e.g. vit_base_patch16_224" in text
    settings = load(here / "params.yaml")
    assert (settings.data.image_size, settings.data.channels) == (8, 1)
    assert [len(c.devices) for c in settings.fleet] == [2, 2]
    torn = sorted((here / "mine").rglob("*1.png"))[0].relative_to(here)
    (here / torn).write_bytes(b"torn")
    (here / torn).with_suffix(".heic").touch()
    counts = divide(settings, "content", here / "out", here / "report")
    heic = torn.with_suffix(".heic")
    words = f"1 damaged image ({torn}) and 1 other file (1 .heic: {heic})"
    assert f"Not read: {words}\n" in capsys.readouterr().err
    assert read_skipped(here / "out").words == words
    assert counts["device"] > 0.9 * 4 * settings.partition.samples_per_device > 4 * 30
    again = ask("--data", "mine", "--yes").exception
    assert isinstance(again, SettingsError)
    assert "is there already" in str(again)


@pytest.mark.parametrize("columns", ["device context", "context", ""])
def test_a_manifest_is_found_and_gives_settings_by_which_it_can_be_divided(
    here: Path, columns: str
) -> None:
    from tasks.data.partitioning import divide
    from tasks.setup.check import check

    listed = write_listing(here / "mine", of_class=110)
    if columns == "context":  # in one of which a class is missing
        listed["context"] = np.where(listed.index % 2 + (listed["label"] == "00"), "a", "b")
    listed[["path", "label", *columns.split()]].to_csv(here / "mine/manifest.csv", index=False)
    named = [] if "device" in columns else ["--devices", "3"]
    done = ask("--data", "mine", "--yes", *named)
    assert done.exit_code == 0, done.output
    settings = check(here / "params.yaml").settings
    assert (settings.data.source, settings.data.manifest) == ("manifest", "manifest.csv")
    assert [d.id for d in settings.devices] == list(range(3 if named else 4))
    counts = divide(settings, "content", here / "out", here / "report")
    if not named:
        assert settings.partition.samples_per_device == 0
        assert counts["cloud"] == pytest.approx(0.95 * listed["device"].isna().sum(), abs=3)
        assert counts["device"] >= 0.9 * listed["device"].notna().sum()
    else:
        assert counts["device"] > 0.8 * 3 * settings.partition.samples_per_device > 3 * 20


def test_the_devices_of_a_manifest_are_not_asked_for(here: Path) -> None:
    write_listing(here / "data", devices=5, of_class=110).to_csv("data/manifest.csv", index=False)
    done = ask(answers="manifest\ndata\nnone\nnone\n2\n")
    assert done.exit_code == 0, done.output
    assert f"Data set ({', '.join(SOURCES)}) [manifest]" in done.output
    assert [len(c.devices) for c in load(here / "params.yaml").fleet] == [2, 3]


@pytest.mark.slow
def test_a_fleet_s_file_says_which_classes_its_devices_want(here: Path) -> None:
    listed = write_listing(here / "data", devices=2, of_class=60)
    listed["split"] = "train"
    met = (listed["device"] == "device-01") & (listed["label"] == "02")
    listed.loc[met | (listed.groupby(["device", "label"]).cumcount() > 12), "split"] = "test"
    listed.to_csv("data/manifest.csv", index=False)
    rows = ["0,20 MB,5,1,", "1,20 MB,5,1,02; 07", ""]
    (here / "fleet.csv").write_text(HEAD.replace("\n", ",wanted\n") + "\n".join(rows))
    done = ask("--fleet", "fleet.csv", "--clusters", "1", "--yes")  # so written into the settings
    assert done.exit_code == 0, done.output
    assert [d.wanted for d in load(here / "params.yaml").devices] == [(), ("02", "07")]
    assert "wanted: []" not in (here / "params.yaml").read_text()


def test_what_is_not_given_is_asked_for(here: Path) -> None:
    done = ask(answers="fashion-mnist\ndata\nnone\nnone\n6\n2\n")
    assert done.exit_code == 0, done.output
    assert done.output.count("[") == 6
    assert [len(c.devices) for c in load(here / "params.yaml").fleet] == [3, 3]


def test_nothing_is_asked_when_flags_say_all(here: Path) -> None:
    done = ask(
        *("--source", "cifar100", "--data", "data", "--model", "none", "--seed", "3"),
        *("--devices", "5", "--clusters", "1"),
    )
    assert done.exit_code == 0, done.output
    settings = load(here / "params.yaml")
    assert (settings.seed, settings.data.image_size, settings.data.channels) == (3, 32, 3)
    assert "acme data fetch" in done.output


@pytest.mark.parametrize("name", ["deit_tiny_patch16_224", "vit_tiny_patch16_224.augreg_in21k"])
def test_a_timm_model_gives_its_grid_and_a_fleet_that_it_fits(here: Path, name: str) -> None:
    assert ask("--source", "cifar100", "--model", name, "--yes").exit_code == 0
    settings = load(here / "params.yaml")
    assert (settings.data.image_size, settings.backbone.depths) == (224, (4, 6, 8, 10, 12))
    assert settings.backbone.reference.pretrained
    training = settings.backbone.training
    assert (training.epochs, training.steps, training.lr) == (5, None, 1e-4)
    assert settings.backbone.cnn.none, "at 224 pixels it would take long"
    with torch.device("meta"):
        config = config_of(timm.create_model(name))
    heads = [kept(width, config.heads) for width in settings.backbone.widths]
    assert heads == sorted(set(heads)), "widths of the same heads"
    assert smallest_fits(settings, config)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--model", "resnet18"], "--model: resnet18 cannot be used: it is a ResNet"),
        (["--model", "vit_of_the_future"], "vit_of_the_future"),
        (["--checkpoint", "no.pth"], "--checkpoint no.pth: no such file"),
        (["--devices", "2", "--clusters", "3"], "--clusters 3: more than 2 devices"),
        (["--fleet", "none.csv"], r"none\.csv"),
        (["--fleet", "fleet.csv"], r"device 3 holds 25,000 parameters, the smallest variant"),
        (["--fleet", "fleet.csv", "--devices", "2"], "--devices is for a made-up fleet"),
        (["--data", "/elsewhere"], "DVC pins what lies below this folder"),
        (
            ["--source", "image-folder", "--data", "few"],
            "class a has 1 distinct image to learn from",
        ),
        (["--source", "image-folder", "--data", "."], "move it in"),
    ],
)
def test_an_impossible_case_is_one_line_and_writes_nothing(
    here: Path, arguments: list[str], named: str
) -> None:
    (here / "params.yaml").write_text("kept: true\n")
    (here / "fleet.csv").write_text(f"{HEAD}3,0.1 MB,5,1\n")
    for name in "ab":
        (here / "few" / name).mkdir(parents=True)
        Image.new("L", (8, 8)).save(here / "few" / name / "1.png")
    error = ask("--source", "fashion-mnist", "--force", "--yes", *arguments).exception
    assert isinstance(error, AcmeError)
    assert re.search(named, str(error))
    assert (here / "params.yaml").read_text() == "kept: true\n"
    assert not (here / "dvc.yaml").exists()


def test_a_fleet_file_is_named_or_clustered_into_the_settings(here: Path) -> None:
    rows = [f"{i},{100 + i % 3}000,{5 + i % 3},1\n" for i in range(30)]
    (here / "fleet.csv").write_text(HEAD + "".join(rows))
    flags = ["--source", "fashion-mnist", "--fleet", "fleet.csv", "--yes", "--force"]
    assert ask(*flags).exit_code == 0
    assert "fleet: fleet.csv" in (here / "params.yaml").read_text()
    stages = read_yaml(here / "dvc.yaml")["stages"]
    assert all("fleet.csv" in stage["deps"] for stage in stages.values())
    assert load(here / "params.yaml").partition.slots > 30
    assert ask(*flags, "--clusters", "2").exit_code == 0
    assert [c.edge for c in load(here / "params.yaml").fleet] == ["edge-0", "edge-1"]


def test_a_fleet_file_may_name_the_sensors_of_data_that_are_fetched(here: Path) -> None:
    rows = HEAD.strip() + ",context\n0,0.4 MB,5,2.0,rotated\n1,0.4 MB,5,2.0,blurred-dimmed\n"
    (here / "fleet.csv").write_text(rows)
    flags = ["--source", "fashion-mnist", "--fleet", "fleet.csv", "--yes", "--force"]
    done = ask(*flags)
    assert done.exit_code == 0, done.exception
    settings = load(here / "params.yaml")
    assert [d.context for d in settings.devices] == ["rotated", "blurred-dimmed"]


def test_a_model_without_weights_is_not_tuned_as_one_that_has_some(here: Path) -> None:
    done = ask("--source", "cifar100", "--model", "vit_base_patch16_gap_224", "--yes")
    assert done.exit_code == 0, done.exception
    spec = load(here / "params.yaml").backbone
    assert (spec.reference.pretrained, spec.reference.initialisation) == (False, "timm")
    assert spec.training.lr == load(ROOT / "params.yaml").backbone.training.lr


def test_a_photo_becomes_a_small_image(here: Path) -> None:
    assert image_images(here, (3000, 2001), "RGB") == (32, 3)
    assert image_images(here, (31, 40), "L") == (28, 1)


def image_images(here: Path, size: tuple[int, int], mode: str) -> tuple[int, int]:
    Image.new(mode, size).save(here / "one.png")
    config = reference_config(Wishes("image-folder", here), [here / "one.png"], SMALL)
    assert config.image_size % config.patch_size == 0
    return config.image_size, config.channels


SMALL = {"dim": 64, "depth": 6, "heads": 4, "mlp_ratio": 2.0}


@pytest.mark.parametrize(("size", "rows"), [(4, 4), (8, 4), (16, 4), (28, 4), (32, 4), (64, 8)])
def test_a_stem_leaves_tokens_of_small_images(here: Path, size: int, rows: int) -> None:
    stem = [[16, 1], [24, 2], [32, 2], [64, 2]]
    wishes = Wishes("fashion-mnist", here, size, 1)
    config = reference_config(wishes, None, {**SMALL, "stem": stem})
    assert config.shape == (rows, rows)
    asked = of_small(wishes, config)["reference"]
    assert [width for width, _ in asked["stem"]] == [16, 24, 32, 64]
    assert (asked["stem"] == stem) == (size >= 28)
    assert "stem" not in of_small(wishes, reference_config(wishes, None, SMALL))["reference"]


@pytest.mark.parametrize(("size", "patch"), [(8, 2), (28, 7), (32, 8), (224, 56), (30, 6)])
def test_a_patch_divides_the_image(here: Path, size: int, patch: int) -> None:
    wishes = Wishes("fashion-mnist", here, image_size=size)
    assert reference_config(wishes, None, SMALL).patch_size == patch


@pytest.mark.slow
def test_a_wheel_holds_all_code_and_the_shipped_settings(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, symlinks=True)
    for file in FILES:
        shutil.copy(ROOT / file, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "."]
    subprocess.run([*command, "-w", str(tmp_path)], cwd=source, check=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        for name, of in (("settings.yaml", "params.yaml"), ("stages.yaml", "dvc.yaml")):
            assert content.read(f"tasks/setup/shipped/{name}") == (ROOT / of).read_bytes()
        held = set(content.namelist())
    listed = subprocess.run(
        ["git", "ls-files", *FOLDERS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(listed.stdout.split()) <= held


def test_texts_of_a_manifest_are_asked_for_their_encoder(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.command.init.prove", lambda settings: None)  # of its weights
    listed = write_texts(here / "data")
    write_tokenizer(here / "tiny", listed["text"])
    (here / "tiny/model.safetensors").write_bytes(b"weights")
    done = ask(answers="manifest\ndata\ntiny\nnone\n2\n")
    assert done.exit_code == 0, done.output
    usual = "sentence-transformers/all-MiniLM-L6-v2"
    assert f"An encoder: a folder, or a name on the hub [{usual}]" in done.output
    settings = load(here / "params.yaml")
    assert settings.data.encoder == "tiny"
    assert [len(c.devices) for c in settings.fleet] == [2, 2]
    assert (here / "data/encoder/model.safetensors").read_bytes() == b"weights"


def test_package_descriptions_come_with_settings_of_their_own(here: Path) -> None:
    done = ask("--source", "package-descriptions", "--seed", "3", "--yes")
    assert done.exit_code == 0, done.output
    settings = load(here / "params.yaml")
    assert (settings.seed, settings.data.encoder) == (3, "sentence-transformers/all-MiniLM-L6-v2")
    assert settings.partition.public_contexts == ("en", "de", "fr")
    assert [len(cluster.devices) for cluster in settings.fleet] == 4 * [3]
    limits = [device.storage_limit for device in settings.devices]
    assert (min(limits), max(limits)) == (7_000_000, 20_000_000)
    for language in ("de", "fr", "it", "ja"):
        there = [
            [device.context for device in cluster.devices].count(language)
            for cluster in settings.fleet
        ]
        assert sorted(there) == [0, 0, 1, 2], language  # a peer to be found, and one elsewhere


def test_of_these_the_folder_and_the_fleet_may_be_others(here: Path) -> None:
    (here / "fleet.csv").write_text(
        f"{HEAD.strip()},context\n4,20000000,5,1,ja\n7,20000000,5,1,fr\n"
    )
    flags = ("--source", "package-descriptions", "--data", "texts", "--fleet", "fleet.csv", "--yes")
    assert ask(*flags, "--clusters", "1").exception
    done = ask(*flags)
    assert done.exit_code == 0, done.output
    settings = load(here / "params.yaml")
    assert settings.data.folder == Path("texts")
    assert [(device.id, device.context) for device in settings.devices] == [(4, "ja"), (7, "fr")]


@pytest.mark.parametrize(
    "flags", [("--model", "vit_tiny_patch16_224"), ("--devices", "3"), ("--image-size", "32")]
)
def test_what_does_not_fit_them_is_refused_by_name(here: Path, flags: tuple[str, str]) -> None:
    words = f"{flags[0]}: package-descriptions comes with settings of its own"
    with pytest.raises(SettingsError, match=words):
        raise ask("--source", "package-descriptions", "--yes", *flags).exception or AssertionError
    assert not (here / "params.yaml").exists()
