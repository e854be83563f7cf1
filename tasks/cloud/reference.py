"""The reference model theta_0: found, given its weights, trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from models.backbone import training
from models.backbone.config import build, family_of
from models.backbone.families.vit import ViTConfig
from models.backbone.family import Backbone
from tasks.cloud.public import Public
from tasks.data.modality import DataInfo, ImageInfo, of_images
from tasks.run.cached import cached, retried
from tasks.run.compute import Machine
from tasks.run.errors import SettingsError
from tasks.run.modules import load_backbone, put_backbone
from tasks.run.progress import progress
from tasks.run.store import Ref
from tasks.settings import params as settings


@retried("cloud: look at the reference")
def check_depth(
    reference: settings.Reference, info: DataInfo, deepest: int, registered: Ref | None
) -> None:
    """Before anything trains: raises SettingsError if the reference has fewer layers than the
    grid's ``deepest`` variant, or cannot be had at all."""
    bare = reference.model_copy(update={"pretrained": False, "checkpoint": None})
    depth = reference_model(bare, info, 0, registered).config.depth
    if depth < deepest:
        raise SettingsError(f"backbone.depths: {deepest}, but the reference has {depth} layers")


@cached("cloud: train the reference")
def train_reference(
    public: Public,
    reference: settings.Reference,
    recipe: training.Training,
    seed: int,
    machine: Machine,
    registered: Ref | None = None,
) -> Ref:
    """theta_0: from the registry, a hub or a checkpoint where the settings say so, then trained on
    the public train split (``epochs: 0`` leaves it as it is).

    Raises:
        SettingsError: the model does not exist, or cannot be sliced.
    """
    device = machine.prepare()
    vit = reference_model(reference, public.info, seed, registered).to(device)
    generator = torch.Generator().manual_seed(seed)
    with progress("cloud: training the reference") as on_step:
        augment = family_of(vit.config).augment
        training.fit(vit, public.split("train"), recipe, generator, augment, on_step)
    return put_backbone(vit)


def reference_model(
    spec: settings.Reference,
    info: DataInfo,
    seed: int,
    registered: Ref | None = None,
) -> Backbone:
    """The reference model as the settings name it, with its weights where they name some;
    ``registered`` is what :func:`tasks.cloud.registered.bring` brought.

    Raises:
        SettingsError: the model or its checkpoint does not exist or does not fit together, or
            cannot be sliced.
    """
    images = of_images(info)
    if spec.checkpoint is not None and not spec.checkpoint.is_file():
        raise SettingsError(f"backbone.reference.checkpoint: no file {spec.checkpoint}")
    try:
        if registered:
            vit = _by_registry(registered, images, seed)
        elif spec.name is None:
            vit = _by_dimensions(spec, images, seed)
        else:
            vit = _by_name(spec, images, seed)
    except (ValueError, TypeError, RuntimeError, OSError, AssertionError) as error:
        raise SettingsError(f"backbone.reference: {error}") from None
    return vit


def _by_registry(registered: Ref, info: ImageInfo, seed: int) -> Backbone:
    """A registered model; a classifier of other classes is left out and starts anew."""
    vit = load_backbone(registered)
    takes, given = vit.sample().shape[1:], (info.channels, info.image_size, info.image_size)
    if takes != given:
        raise SettingsError(
            f"backbone.reference.name: the registered model takes {' x '.join(map(str, takes))} "
            "pixels, data.channels and data.image_size say "
            f"{' x '.join(map(str, given))}"
        )
    if vit.config.classes != len(info.classes):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            vit.reset_classifier(len(info.classes))
    return vit


def _by_dimensions(spec: settings.Reference, info: ImageInfo, seed: int) -> Backbone:
    vit = build(
        ViTConfig(
            image_size=info.image_size,
            patch_size=spec.patch_size,
            channels=info.channels,
            classes=len(info.classes),
            dim=spec.dim,
            depth=spec.depth,
            heads=spec.heads,
            head_dim=spec.dim // spec.heads,
            mlp_hidden=int(spec.dim * spec.mlp_ratio),
        ),
        seed,
    )
    if spec.checkpoint is not None:
        from timm.models import load_state_dict

        vit.load_state_dict(load_state_dict(str(spec.checkpoint)))
    return vit


def _by_name(spec: settings.Reference, info: ImageInfo, seed: int) -> Backbone:
    """A checkpoint is read as hub weights are: timm resamples patch and position embeddings to the
    image size and channels, and leaves out a classifier of other classes."""
    import timm

    from models.backbone.families.from_timm import adopt

    if spec.name not in timm.list_models():
        raise SettingsError(f"backbone.reference.name: timm has no model {spec.name!r}")
    source = _checkpoint_source(spec.name, spec.checkpoint) if spec.checkpoint else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vit = timm.create_model(
            spec.name,
            pretrained=spec.pretrained or source is not None,
            pretrained_cfg_overlay=source,
            img_size=info.image_size,
            in_chans=info.channels,
            num_classes=len(info.classes),
        )
    return adopt(vit)


def _checkpoint_source(name: str, path: Path) -> dict[str, Any]:
    """The file and its number of classes, for timm: which loads what fits and only warns of the
    rest, so that a file of another model must be refused here."""
    import timm
    from timm.models import load_state_dict

    state = load_state_dict(str(path))
    with torch.device("meta"):
        needed = timm.create_model(name).state_dict()
    missing = [k for k in needed if k not in state and not k.startswith("head.")]
    if missing:
        raise SettingsError(
            f"backbone.reference.checkpoint: {path} is not of {name}: it has no {missing[0]} "
            f"({len(missing)} of {len(needed)} tensors are missing)"
        )
    return {"file": str(path), "num_classes": len(state.get("head.weight", ()))}
