"""The reference model: by dimensions or name, from a checkpoint, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from tasks.cloud.reference import check_depth, reference_model
from tasks.data.modality import ImageInfo
from tasks.run.errors import SettingsError
from tasks.settings.params import Reference

INFO = ImageInfo("test", ("a", "b", "c"), 8, 1, (0.5,), (0.5,))
SMALL = {"patch_size": 4, "dim": 12, "depth": 2, "heads": 3, "mlp_ratio": 2.0}


def spec(**changes: object) -> Reference:
    return Reference.model_validate({**SMALL, **changes})


def test_by_dimensions_from_the_seed() -> None:
    one, two, other = (reference_model(spec(), INFO, s) for s in (0, 0, 1))
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(one.eval()(x), two.eval()(x))
    assert not torch.equal(one(x), other.eval()(x))


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("name", [None, "vit_tiny_patch16_224"])
def test_a_checkpoint_gives_its_weights(tmp_path: Path, suffix: str, name: str | None) -> None:
    info = ImageInfo("test", ("a", "b", "c"), 32, 3, (0.5,) * 3, (0.5,) * 3)
    trained = reference_model(spec(name=name), info, seed=5).eval()
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch.save(trained.state_dict(), path)
    else:
        save_file(trained.state_dict(), path)
    loaded = reference_model(spec(name=name, checkpoint=path), info, seed=0).eval()
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(loaded(x), trained(x))


def test_a_checkpoint_of_other_classes_size_and_channels_is_adapted(tmp_path: Path) -> None:
    name = "vit_tiny_patch16_224"
    original = timm.create_model(name)  # 1000 classes, 224 pixels, 3 channels: as hubs hold it
    path = tmp_path / "imagenet.safetensors"
    save_file(original.state_dict(), path)
    info = ImageInfo("test", ("a", "b", "c"), 32, 1, (0.5,), (0.5,))
    loaded = reference_model(spec(name=name, checkpoint=path), info, seed=0)
    for block, other in zip(loaded.blocks, original.blocks, strict=True):
        assert torch.equal(block.mlp.fc1.weight, other.mlp.fc1.weight)
    kernel, summed = loaded.patch_embed.proj.weight, original.patch_embed.proj.weight.sum(1)
    assert torch.allclose(kernel[:, 0], summed)  # grey is the same in all three colours
    assert loaded.pos_embed.shape[1] == 1 + 2 * 2
    assert loaded.head.weight.shape[0] == 3


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file(timm.create_model("resmlp_12_224").state_dict(), path)
    with pytest.raises(SettingsError, match="is not of vit_tiny_patch16_224"):
        reference_model(spec(name="vit_tiny_patch16_224", checkpoint=path), INFO, 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "vit_of_the_future"}, "vit_of_the_future"),
        ({"name": "resnet18"}, "backbone.reference"),
        ({"checkpoint": "nowhere.pth"}, "nowhere.pth"),
    ],
)
def test_what_cannot_be_a_reference_is_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        reference_model(spec(**changes), INFO, 0)


def test_too_shallow_a_reference_is_refused() -> None:
    with pytest.raises(SettingsError, match="has 2 layers"):
        check_depth.fn(spec(), INFO, 5, None)
