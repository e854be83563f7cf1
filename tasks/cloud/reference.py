"""The reference model theta_0: found, given its weights, trained."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from models.backbone import training
from models.backbone.chance import above_chance, chance_accuracy
from models.backbone.config import build, family_of
from models.backbone.families.vit import ViTConfig
from models.backbone.family import Backbone
from tasks.cloud.public import Public
from tasks.data.modality import DataInfo, ImageInfo, of_images
from tasks.links.records import ReferenceScore
from tasks.run.cached import cached, retried
from tasks.run.compute import Machine
from tasks.run.errors import SettingsError
from tasks.run.modules import load_backbone, put_backbone
from tasks.run.progress import progress
from tasks.run.store import Ref, adopt, read
from tasks.settings import params as settings

CHECKPOINT = "checkpoint"
"""The kind of content of a file of weights that the settings name."""


@retried("cloud: look at the reference")
def check_depth(
    reference: settings.ReferenceModel, info: DataInfo, deepest: int, given: Ref | None
) -> None:
    """Before anything trains: raises SettingsError if the reference has fewer layers than the
    grid's ``deepest`` variant, or cannot be had at all."""
    bare = reference.model_copy(update={"pretrained": False})
    registered = None if given is not None and given.kind == CHECKPOINT else given
    depth = reference_model(bare, info, 0, registered).config.depth
    if depth < deepest:
        raise SettingsError(f"backbone.depths: {deepest}, but the reference has {depth} layers")


@cached("cloud: train the reference")
def train_reference(
    public: Public,
    reference: settings.ReferenceModel,
    recipe: training.Training,
    seed: int,
    machine: Machine,
    given: Ref | None = None,
) -> Ref:
    """theta_0: from what was ``given`` (see :func:`reference_model`) or a hub where the settings
    say so, then trained on the public train split (``epochs: 0`` leaves it as it is).

    Raises:
        SettingsError: the model does not exist, or cannot be sliced.
    """
    device = machine.prepare()
    vit = reference_model(reference, public.info, seed, given).to(device)
    generator = torch.Generator().manual_seed(seed)
    with progress("cloud: training the reference") as on_step:
        augment = family_of(vit.config).augment
        training.fit(vit, public.split("train"), recipe, generator, augment, on_step)
    return put_backbone(vit)


@cached("cloud: score the reference")
def score_reference(reference: Ref, public: Public, machine: Machine) -> ReferenceScore:
    """How the reference does on the public validation split, and a warning where that is chance:
    nothing that is cut from it can then be good."""
    inputs, labels = public.split("val")
    vit = load_backbone(reference).to(machine.prepare())
    _, accuracy = training.evaluate(vit, inputs, labels)
    chance, warning = chance_accuracy(labels), None
    if not above_chance(accuracy, labels):
        warning = (
            f"the reference model is at chance: accuracy {accuracy:.3f} on {len(labels):,} public "
            f"validation samples, where always answering the most frequent of "
            f"{len(public.info.classes)} classes reaches {chance:.3f}. No model cut from it can be "
            "good. Try: more public data (partition.public_train), weights that are trained "
            "already (backbone.reference.name with pretrained, or checkpoint), more epochs "
            "(backbone.training.epochs)"
        )
    return ReferenceScore(accuracy, len(labels), chance, warning)


def reference_model(
    spec: settings.ReferenceModel,
    info: DataInfo,
    seed: int,
    given: Ref | None = None,
) -> Backbone:
    """The reference model as the settings name it, with its weights where they are ``given``: what
    :func:`tasks.cloud.registered.bring` or :func:`take_checkpoint` brought.

    Raises:
        SettingsError: the model does not exist or does not fit to its checkpoint, or cannot be
            sliced.
    """
    images = of_images(info)
    checkpoint = given if given is not None and given.kind == CHECKPOINT else None
    try:
        if given is not None and checkpoint is None:
            vit = _by_registry(given, images, seed)
        elif spec.name is None:
            vit = _by_dimensions(spec, images, seed, checkpoint)
        else:
            vit = _by_name(spec, images, seed, checkpoint)
    except (ValueError, TypeError, RuntimeError, OSError, AssertionError) as error:
        raise SettingsError(f"backbone.reference: {error}") from None
    return vit


def take_checkpoint(path: Path) -> Ref:
    """A file of weights, kept by its content: another file at the same path is another input.

    Raises:
        SettingsError: there is no such file.
    """
    if not path.is_file():
        raise SettingsError(f"backbone.reference.checkpoint: no file {path}")
    return adopt(CHECKPOINT, path)


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


def _by_dimensions(
    spec: settings.ReferenceModel, info: ImageInfo, seed: int, checkpoint: Ref | None
) -> Backbone:
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
    if checkpoint is not None:
        from timm.models import load_state_dict

        with _file_of(checkpoint) as path:
            vit.load_state_dict(load_state_dict(str(path)))
    return vit


def _by_name(
    spec: settings.ReferenceModel, info: ImageInfo, seed: int, checkpoint: Ref | None
) -> Backbone:
    """A checkpoint is read as hub weights are: timm resamples patch and position embeddings to the
    image size and channels, and leaves out a classifier of other classes."""
    import timm

    from models.backbone.families import from_timm

    if spec.name not in timm.list_models():
        raise SettingsError(f"backbone.reference.name: timm has no model {spec.name!r}")
    with ExitStack() as stack, torch.random.fork_rng(devices=[]):
        path = stack.enter_context(_file_of(checkpoint)) if checkpoint else None
        source = _checkpoint_source(spec.name, path) if path else None
        torch.manual_seed(seed)
        vit = timm.create_model(
            spec.name,
            pretrained=spec.pretrained or source is not None,
            pretrained_cfg_overlay=source,
            img_size=info.image_size,
            in_chans=info.channels,
            num_classes=len(info.classes),
        )
    return from_timm.adopt(vit)


@contextmanager
def _file_of(checkpoint: Ref) -> Iterator[Path]:
    """The checkpoint as a file whose name says its format, as timm wants it."""
    payload = read(checkpoint)
    safe = payload[8:9] == b"{"  # the header of safetensors, behind its length; else torch's
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"checkpoint.{'safetensors' if safe else 'pth'}"
        path.write_bytes(payload)
        yield path


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
            f"backbone.reference.checkpoint: the file is not of {name}: it has no {missing[0]} "
            f"({len(missing)} of {len(needed)} tensors are missing)"
        )
    return {"file": str(path), "num_classes": len(state.get("head.weight", ()))}
