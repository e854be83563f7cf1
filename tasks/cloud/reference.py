"""The reference model theta_0: found, given its weights, trained."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from models.backbone import training
from models.backbone.chance import LEVEL, above_chance, chance_accuracy
from models.backbone.config import build
from models.backbone.families import vit as of_vit
from models.backbone.families.bert import BertConfig
from models.backbone.families.stem import config_of
from models.backbone.family import Backbone
from models.backbone.scoring import refit_embeddings
from tasks.cloud.named import require_known
from tasks.cloud.public import Public
from tasks.cloud.weights import named_file, require_of_shape, require_of_timm, state_of
from tasks.data.modality import DataInfo, ImageInfo, TextInfo, of_texts
from tasks.links.records import ReferenceScore, Trained
from tasks.run.cached import cached, retried
from tasks.run.compute import Machine
from tasks.run.errors import SettingsError
from tasks.run.modules import load_backbone, put_backbone
from tasks.run.progress import progress
from tasks.run.store import Ref, adopt, read
from tasks.run.words import counted
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
        layers = counted(depth, "layer")
        raise SettingsError(f"backbone.depths: {deepest}, but the reference has {layers}")


@cached("cloud: train the reference")
def train_reference(
    public: Public,
    reference: settings.ReferenceModel,
    recipe: training.Training,
    seed: int,
    machine: Machine,
    given: Ref | None = None,
) -> Trained:
    """theta_0: from what was ``given`` (see :func:`reference_model`) or a hub where the settings
    say so, then trained on the public train split (``epochs: 0`` leaves it as it is), by the
    public validation split where the recipe has patience.

    Raises:
        SettingsError: the model does not exist, or cannot be sliced.
    """
    device = machine.prepare()
    vit = reference_model(reference, public.info, seed, given).to(device)
    generator = torch.Generator().manual_seed(seed)
    with progress("cloud: training the reference") as on_step:
        held_out = None if recipe.patience is None else public.split("val")
        shown = public.examples(vit)
        course = training.fit_reference(vit, shown, recipe, generator, on_step, held_out)
    return Trained(put_backbone(vit), course.steps, course.kept)


@cached("cloud: score the reference")
def score_reference(
    reference: Ref, public: Public, refit_samples: int, machine: Machine
) -> ReferenceScore:
    """How the reference does on the public validation split, and a warning where that is not
    shown to be more than chance: what is cut from it is then hardly any good. Where headers are
    refitted, also how one does that reads no layer."""
    inputs, labels = public.split("val")
    vit = load_backbone(reference).to(machine.prepare())
    _, accuracy = training.evaluate(vit, inputs, labels)
    warning = doubt(accuracy, labels, len(public.info.classes))
    known = ReferenceScore(accuracy, len(labels), chance_accuracy(labels), warning)
    if not refit_samples:
        return known
    without = refit_embeddings(vit, public.first(refit_samples), (inputs, labels))
    return replace(known, no_layer_accuracy=without.accuracy)


def made(asked: settings.Settings, trained: Trained) -> str:
    """How the reference was made, in words: where its weights come from, what of it was trained,
    how long, and on what."""
    spec, recipe = asked.backbone.reference, asked.backbone.training
    stem = f" behind {counted(len(spec.stem), 'convolution')}" if spec.stem else ""
    what = spec.name or f"a ViT of {counted(spec.depth, 'layer')} of {spec.dim} dimensions{stem}"
    given = spec.pretrained or spec.registered or spec.checkpoint is not None
    start = "given weights" if given else f"{spec.initialisation} initialisation"
    if asked.data.encoder is not None:
        what, start = f"the encoder {asked.data.encoder}", "given weights and a fresh header"
    part = {None: "", 0: "its header alone "}.get(
        recipe.layers, f"its header and last {counted(recipe.layers or 0, 'layer')} "
    )
    long = counted(trained.steps, "step")
    if recipe.steps is None:
        long = f"{counted(recipe.epochs, 'epoch')} at most, {long}"
    best = f", kept as after {trained.kept:,}" if recipe.patience else ""
    mirrored = ", mirrored at random" if asked.flip else ", not mirrored"
    if asked.data.modality != "image":
        mirrored = ""
    return (
        f"{what}, from {start}, {part}trained for {long}{best}, in batches of {recipe.batch_size}"
        f"{mirrored}"
    )


def doubt(accuracy: float, labels: Tensor, classes: int) -> str | None:
    """What an accuracy on labels ``(n,)`` leaves open, in words, with what to try; None where it is
    shown to be better than chance."""
    if above_chance(accuracy, labels):
        return None
    return (
        f"the reference model is not shown to be better than chance: accuracy {accuracy:.3f} on "
        f"{counted(len(labels), 'public validation sample')}, where always answering the commonest "
        f"of {classes} classes gives {chance_accuracy(labels):.3f} (one-sided binomial test at "
        f"{LEVEL:.0%}). What is cut from it can hardly be better. Try: more public data "
        "(partition.public_train), weights that are trained already (backbone.reference.name with "
        "pretrained, or checkpoint; of texts another data.encoder), more epochs "
        "(backbone.training.epochs), or more samples to tell it by (partition.public_val)"
    )


def reference_model(
    spec: settings.ReferenceModel,
    info: DataInfo,
    seed: int,
    given: Ref | None = None,
) -> Backbone:
    """The reference model as the settings name it, with its weights where they are ``given``: what
    :func:`tasks.cloud.registered.bring`, :func:`tasks.cloud.encoder.bring_encoder` or
    :func:`take_checkpoint` brought. Of texts it is the encoder, whatever else the settings name.

    Raises:
        SettingsError: the model does not exist or does not fit to its checkpoint, or cannot be
            sliced.
    """
    if not isinstance(info, ImageInfo):
        assert given is not None
        return _by_encoder(given, of_texts(info), seed)
    images = info
    checkpoint = given if given is not None and given.kind == CHECKPOINT else None
    try:
        if given is not None and checkpoint is None:
            vit = _by_registry(given, images, seed)
        elif spec.name is None:
            vit = _by_dimensions(spec, images, seed, checkpoint)
        else:
            vit = _by_name(spec, images, seed, checkpoint)
    except (ValueError, TypeError, RuntimeError, OSError, AssertionError) as error:
        raise SettingsError(f"backbone.reference: {str(error)[:400]}") from None
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
    return _for_classes(vit, len(info.classes), seed)


def _by_encoder(encoder: Ref, info: TextInfo, seed: int) -> Backbone:
    """The encoder, with a fresh header."""
    bert = load_backbone(encoder)
    config = bert.config
    assert isinstance(config, BertConfig)
    told = (info.length, info.vocabulary, info.pad)
    if (config.length, config.vocabulary, config.pad) != told:
        raise SettingsError(
            f"data.encoder: texts of {told[0]} tokens of {told[1]:,} were divided, and the encoder "
            f"takes {config.length} of {config.vocabulary:,}. Run: acme stage partition"
        )
    return _for_classes(bert, len(info.classes), seed)


def _for_classes(vit: Backbone, classes: int, seed: int) -> Backbone:
    """With a fresh header, unless it has one for so many classes."""
    if vit.config.classes != classes:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            vit.reset_classifier(classes)
    return vit


def _by_dimensions(
    spec: settings.ReferenceModel, info: ImageInfo, seed: int, checkpoint: Ref | None
) -> Backbone:
    vit = build(config_of(spec, info.image_size, info.channels, len(info.classes)), seed)
    if checkpoint is None:
        return _started(vit, spec, seed)
    state = state_of(read(checkpoint))
    require_of_shape(state, vit.state_dict())
    vit.load_state_dict(state)
    return vit


def _started(vit: Backbone, spec: settings.ReferenceModel, seed: int) -> Backbone:
    """The initialisation that the settings name, of a model without weights of its own."""
    assert isinstance(vit, of_vit.VisionTransformer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        of_vit.INITIALISATIONS[spec.initialisation](vit)
    return vit


def _by_name(
    spec: settings.ReferenceModel, info: ImageInfo, seed: int, checkpoint: Ref | None
) -> Backbone:
    """A checkpoint is read as hub weights are: timm resamples patch and position embeddings to the
    image size and channels, and leaves out a classifier of other classes."""
    import timm

    from models.backbone.families import from_timm

    assert spec.name is not None
    require_known(spec.name)
    with ExitStack() as stack, torch.random.fork_rng(devices=[]):
        source = None
        if checkpoint is not None:
            payload = read(checkpoint)
            state = state_of(payload)
            require_of_timm(state, spec.name)
            file = stack.enter_context(named_file(payload))
            source = {"file": str(file), "num_classes": len(state.get("head.weight", ()))}
        torch.manual_seed(seed)
        vit = timm.create_model(
            spec.name,
            pretrained=spec.pretrained or source is not None,
            pretrained_cfg_overlay=source,
            img_size=info.image_size,
            in_chans=info.channels,
            num_classes=len(info.classes),
        )
    scratch = source is None and not spec.pretrained
    adopted = from_timm.adopt(vit)
    return _started(adopted, spec, seed) if scratch else adopted
