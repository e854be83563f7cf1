"""Settings for a user's own case, this machine's profile, a registered reference."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from flows import cli
from flows.init import Case, init, patch_size
from tasks.errors import RegistryError, SettingsError
from tasks.experiments.second import write_digits
from tasks.settings import load


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def test_a_folder_of_images_gives_settings_that_hold_and_can_be_divided(here: Path) -> None:
    from tasks.partitioning import divide

    write_digits(here / "mine")
    init(Case("image-folder", Path("mine"), devices=4, clusters=2), here, force=False)
    text = (here / "params.yaml").read_text()
    assert "# a timm model, e.g. vit_base_patch16_224" in text
    settings = load(here / "params.yaml")
    assert (settings.data.image_size, settings.data.channels) == (8, 1)
    assert [len(c.devices) for c in settings.fleet] == [2, 2]
    counts = divide(settings, "content", here / "out", here / "report")
    assert counts["device"] > 4 * 40
    with pytest.raises(SettingsError, match="is there already"):
        init(Case("image-folder", Path("mine")), here, force=False)


def test_the_command_asks_nothing_when_given_flags(here: Path) -> None:
    arguments = ["init", "--source", "fashion-mnist", "--data", "data", "--seed", "3"]
    done = CliRunner().invoke(cli.cli, arguments, input="")
    assert done.exit_code == 0, done.output
    assert "Data set" not in done.output
    assert load(here / "params.yaml").seed == 3
    assert "flows/" not in (here / "dvc.yaml").read_text()


def test_a_timm_model_gives_its_depths(here: Path) -> None:
    case = Case("cifar100", Path("data"), model="deit_tiny_patch16_224", image_size=224)
    init(case, here, force=False)
    settings = load(here / "params.yaml")
    assert settings.backbone.depths == (4, 6, 8, 10, 12)
    assert settings.backbone.reference.pretrained
    with pytest.raises(SettingsError, match="--model resnet18: not a ViT"):
        init(Case("cifar100", Path("data"), model="resnet18"), here, force=True)
    assert load(here / "params.yaml") == settings


def test_a_bad_fleet_leaves_the_old_settings(here: Path) -> None:
    (here / "params.yaml").write_text("kept: true\n")
    (here / "fleet.yaml").write_text("[{edge: a, devices: [{id: 0}]}]")
    with pytest.raises(SettingsError, match="storage_limit"):
        init(Case("fashion-mnist", Path("data"), fleet=Path("fleet.yaml")), here, force=True)
    assert (here / "params.yaml").read_text() == "kept: true\n"


@pytest.mark.parametrize(("size", "patch"), [(8, 2), (28, 7), (32, 8), (224, 56), (30, 6)])
def test_a_patch_divides_the_image(size: int, patch: int) -> None:
    assert patch_size(size) == patch


def test_a_registered_model_is_the_reference(here: Path) -> None:
    """A whole timm ViT that somebody logged; an alias that moves is another input."""
    import mlflow.pytorch

    from models.backbone.config import BackboneConfig, build
    from tasks.cloud import reference_model
    from tasks.reference import bring
    from tasks.registry import Registry
    from tasks.samples import DataInfo

    registry = Registry(here)
    info = DataInfo("test", ("a", "b", "c"), 8, 1, (0.5,), (0.5,))
    spec = load(Path(cli.__file__).parents[1] / "params.yaml").backbone.reference
    refs = []
    for seed in (1, 2):
        vit = build(BackboneConfig(8, 2, 1, 5, 16, 2, 2, 8, 32), seed)
        with mlflow.start_run():
            mlflow.pytorch.log_model(
                vit,
                name="model",
                registered_model_name="my-vit",
                serialization_format="pickle",
                pip_requirements=["torch"],
            )
        registry.client.set_registered_model_alias("my-vit", "best", str(seed))
        refs.append(bring.fn("models:/my-vit@best", here))
        loaded = reference_model(spec, info, 2, 0, refs[-1])
        assert torch.equal(loaded.blocks[0].attn.qkv.weight, vit.blocks[0].attn.qkv.weight)
        assert loaded.head.out_features == 3
    assert refs[0].sha256 != refs[1].sha256
    assert bring.fn("models:/my-vit/2", here) == refs[1]
    with pytest.raises(SettingsError, match="takes 1 x 8 x 8 pixels"):
        reference_model(spec, DataInfo("test", ("a",), 28, 1, (0.5,), (0.5,)), 2, 0, refs[0])
    for uri in ("models:/my-vit@worst", "models:/my-vit/9", "models:/yours@best"):
        with pytest.raises(RegistryError, match=uri.split("/")[1]):
            bring.fn(uri, here)
