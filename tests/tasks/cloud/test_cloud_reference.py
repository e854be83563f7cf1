"""The reference model: by dimensions or name, from a checkpoint, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from tasks.cloud.reference import check_depth, doubt, reference_model, take_checkpoint
from tasks.data.modality import ImageInfo
from tasks.run.errors import SettingsError
from tasks.settings.params import ReferenceModel

pytestmark = pytest.mark.usefixtures("in_tmp")

INFO = ImageInfo("test", ("a", "b", "c"), 8, 1, (0.5,), (0.5,))
SMALL = {"patch_size": 4, "dim": 12, "depth": 2, "heads": 3, "mlp_ratio": 2.0}


def spec(**changes: object) -> ReferenceModel:
    return ReferenceModel.model_validate({**SMALL, **changes})


def test_by_dimensions_from_the_seed() -> None:
    one, two, other = (reference_model(spec(), INFO, s) for s in (0, 0, 1))
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(one.eval()(x), two.eval()(x))
    assert not torch.equal(one(x), other.eval()(x))


@pytest.mark.parametrize("name", [None, "vit_tiny_patch16_224"])
def test_weights_that_are_given_are_never_initialised_again(
    tmp_path: Path, name: str | None
) -> None:
    info = ImageInfo("test", ("a", "b", "c"), 32, 3, (0.5,) * 3, (0.5,) * 3)
    trained = reference_model(spec(name=name), info, seed=5)
    path = tmp_path / "weights.safetensors"
    save_file(trained.state_dict(), path)
    small = spec(name=name, initialisation="small")
    loaded = reference_model(small, info, 5, take_checkpoint(path))
    fresh = reference_model(small, info, 5)
    for key, value in trained.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    assert fresh.pos_embed.std() > 5 * trained.pos_embed.std()


def test_by_dimensions_with_a_stem(tmp_path: Path) -> None:
    asked = spec(stem=[[4, 1], [12, 2]], patch_size=9)  # no patches, so their size says nothing
    one = reference_model(asked, INFO, 0).eval()
    assert one.config.shape == (4, 4)
    path = tmp_path / "weights.safetensors"
    save_file(one.state_dict(), path)
    other = reference_model(asked, INFO, 1, take_checkpoint(path)).eval()
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(one(x), other(x))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stem": [[4, 1], [8, 2]]}, "stem ends with 8 channels: give dim's 12"),
        ({"stem": [[12, 0]]}, "greater than or equal to 1"),
        ({"stem": []}, "at least 1"),
    ],
)
def test_settings_of_a_stem_that_cannot_be_are_named(
    changes: dict[str, object], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        spec(**changes)


def test_a_model_that_is_named_has_its_own_patches_whatever_the_dimensions_say() -> None:
    """The shipped settings have a stem; who sets a name alone means that model."""
    info = ImageInfo("test", ("a", "b", "c"), 32, 3, (0.5,) * 3, (0.5,) * 3)
    named = reference_model(spec(name="vit_tiny_patch16_224", stem=[[7, 2]]), info, 0)
    assert named.config == reference_model(spec(name="vit_tiny_patch16_224"), info, 0).config
    assert named.config.family == "vit"


NAMES = [None, "vit_tiny_patch16_224", "vit_tiny_patch16_224.augreg_in21k", "test_vit2"]


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_gives_its_weights(tmp_path: Path, suffix: str, name: str | None) -> None:
    info = ImageInfo("test", ("a", "b", "c"), 32, 3, (0.5,) * 3, (0.5,) * 3)
    trained = reference_model(spec(name=name), info, seed=5).eval()
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch.save(trained.state_dict(), path)
    else:
        save_file(trained.state_dict(), path)
    loaded = reference_model(spec(name=name), info, 0, take_checkpoint(path)).eval()
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(loaded(x), trained(x))


def test_a_checkpoint_of_other_classes_size_and_channels_is_adapted(tmp_path: Path) -> None:
    name = "vit_tiny_patch16_224"
    original = timm.create_model(name)  # 1000 classes, 224 pixels, 3 channels: as hubs hold it
    path = tmp_path / "imagenet.safetensors"
    save_file(original.state_dict(), path)
    info = ImageInfo("test", ("a", "b", "c"), 32, 1, (0.5,), (0.5,))
    loaded = reference_model(spec(name=name), info, 0, take_checkpoint(path))
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
        reference_model(spec(name="vit_tiny_patch16_224"), INFO, 0, take_checkpoint(path))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "vit_of_the_future"}, "vit_of_the_future"),
        ({"name": "resnet18"}, "backbone.reference"),
        ({"name": "vit_tiny_patch16_224.foo"}, "no weights 'foo' of vit_tiny_patch16_224: choose"),
        ({"name": "test_vit3"}, "attention pooling"),
    ],
)
def test_what_cannot_be_a_reference_is_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        reference_model(spec(**changes), INFO, 0)


def test_a_checkpoint_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingsError, match=r"checkpoint: no file nowhere\.pth"):
        take_checkpoint(Path("nowhere.pth"))


def test_another_file_at_the_same_path_is_another_input(tmp_path: Path) -> None:
    path, found = tmp_path / "weights.safetensors", []
    for content in (b"one", b"two", b"one"):
        path.write_bytes(content)
        found.append(take_checkpoint(path))
    assert found[0] == found[2] != found[1]


def test_too_shallow_a_reference_is_refused() -> None:
    with pytest.raises(SettingsError, match="has 2 layers"):
        check_depth.fn(spec(), INFO, 5, None)


def test_what_is_not_shown_is_said_with_what_shows_it() -> None:
    labels = torch.tensor([0] * 15 + [1 + i % 9 for i in range(85)])
    words = doubt(0.2, labels, 10)
    assert words is not None
    assert words.startswith(
        "the reference model is not shown to be better than chance: accuracy 0.200 on 100 public "
        "validation samples, where always answering the commonest of 10 classes gives 0.150 "
        "(one-sided binomial test at 1%)"
    )
    assert "partition.public_val" in words
    assert doubt(0.3, labels, 10) is None
