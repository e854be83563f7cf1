"""Whether settings can be run, told before anything is: what `acme check` looks at beyond the
settings themselves, and every command that runs something too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from models.backbone.config import on_meta
from models.backbone.elastic import variant_config
from models.backbone.families.bert import BertConfig
from models.backbone.families.stem import StemConfig, config_of
from models.backbone.families.vit import ViTConfig
from models.backbone.family import BackboneConfig
from models.backbone.size import backbone_parameters
from models.refinement.exchanges import EXCHANGES
from tasks.cloud import named
from tasks.cloud.weights import require_of_shape, require_of_timm, state_of
from tasks.data import own, sources
from tasks.data.contexts import contexts_of
from tasks.data.encoder import FOLDER
from tasks.data.enough import require_enough, require_own
from tasks.data.plan import plan_of
from tasks.data.skipped import Skipped
from tasks.data.unseen import dealt_classes, fewer, require_wanted
from tasks.run.engine import submitted
from tasks.run.errors import SettingsError
from tasks.run.files import read_bytes
from tasks.run.words import counted
from tasks.settings.case import Case
from tasks.settings.declared import checked
from tasks.settings.params import Reference, Settings
from tasks.settings.sources import SOURCES, Counts, OwnCount
from tasks.setup import texts

LEAST_DESCRIBED = 2
"""Public samples without which there are no directions to describe data along."""


@dataclass(frozen=True)
class Checked:
    """Settings that can be run, what could not be looked at yet, and what is to be known of them,
    in words."""

    settings: Settings
    unseen: tuple[str, ...]
    notes: tuple[str, ...] = ()


def check(params: Path) -> Checked:
    """The settings of a file with which every stage can do its work.

    Raises:
        SettingsError: they are impossible by themselves (see :func:`checked`), no model of theirs
            fits the devices or the images, or the data are too few.
        DataError: what lies in the data's folder is not the data set, or too little for the fleet.
    """
    settings = checked(params)
    return Checked(settings, look(settings, params), notes(settings))


def look(settings: Settings, params: Path) -> tuple[str, ...]:
    """What could not be looked at yet, in words. Raises as :func:`check`."""
    unseen = []
    submitted()  # whether the environment says where steps run
    try:
        require_described(settings)
        counts = count(settings)
        config = reference(settings, len(counts.train) // len(counts.contexts) if counts else 1)
        if config is None:
            unseen.append(unknown_model(settings))
        elif isinstance(config, ViTConfig):
            require_whole_images(config)
            require_room(settings, config)
            require_weights(settings.backbone.reference, config, known=counts is not None)
        if counts is None:
            unseen.append(f"whether the data are enough: {settings.data.folder} is not there yet")
        else:
            unseen += require_data(settings, counts)
        if isinstance(config, BertConfig):
            unseen += require_vocabularies(settings, config, counts)
    except SettingsError as error:
        raise SettingsError(f"{params}: {error}") from None
    return tuple(unseen)


def notes(settings: Settings) -> tuple[str, ...]:
    """What may be otherwise than one expects of valid settings, in words."""
    counts = count(settings) if settings.partition.unseen_classes else None
    if counts is None:
        return ()
    contexts = contexts_of(settings, counts.contexts, counts.public_contexts)
    plan = plan_of(settings, contexts, counts.train)
    words = fewer(settings, dealt_classes(settings, plan).unseen)
    return (words,) if words else ()


def require_described(settings: Settings) -> None:
    """Raises SettingsError if devices describe their data by public features, and get none."""
    exchange, sent = settings.refinement.exchange, settings.edge.public_features
    if EXCHANGES[exchange].beside is not None and sent < LEAST_DESCRIBED:
        raise SettingsError(
            f"edge.public_features: {sent}, but devices that exchange {exchange} describe their "
            f"data by what public ones look like: give some hundreds, at least {LEAST_DESCRIBED}, "
            "or choose another refinement.exchange"
        )


def unknown_model(settings: Settings) -> str:
    """A reference that cannot be looked at yet, in words."""
    if settings.data.modality == "text":
        return f"the encoder: {settings.data.folder}/{FOLDER} is not there yet"
    return f"the size of {settings.backbone.reference.name}, which is the registry's"


def require_data(settings: Settings, counts: Counts) -> list[str]:
    """What could not be looked at yet, in words.

    Raises:
        SettingsError, DataError: the data are too few, or have other contexts or devices.
    """
    brought = own.counted_of(settings, counts)
    require_samples(settings, counts)
    told = {device: found.context for device, found in brought.items()}
    contexts = contexts_of(settings, counts.contexts, counts.public_contexts, told)
    plan = plan_of(settings, contexts, counts.train)
    learned = {device: found.learned for device, found in brought.items()}
    require_wanted(settings, plan, counts.names, learned)
    require_enough(settings, plan, counts.classes, (counts.train, counts.test))
    if not settings.partition.samples_per_device:
        for device in settings.devices:
            found = brought.get(device.id, OwnCount(0, frozenset()))
            require_own(device.name, found, settings.data.modality)
    files = SOURCES[settings.data.source].brought and settings.data.modality == "image"
    return [by_name(counts, brought)] if files else []


def require_vocabularies(
    settings: Settings, config: BertConfig, counts: Counts | None
) -> list[str]:
    """What could not be looked at yet, in words: how much of the vocabulary devices keep is told by
    their texts. Raises SettingsError if the smallest variant does not fit with that."""
    if counts is None:
        least = texts.least_words(settings.data)
        require_room(settings, config, {device.name: least for device in settings.devices})
        return ["whether variants fit, which depends on the words of the texts"]
    require_room(settings, config, texts.words_kept(settings))
    return []


def by_name(counts: Counts, brought: Mapping[int, OwnCount]) -> str:
    """What counting files by their names leaves open."""
    left_out = Skipped(other=counts.other).words
    owned = sum(of_device.samples for of_device in brought.values())
    images = counted(sum(counts.train + counts.test) + owned, "image")
    return f"whether {images} can be read" + (f"; left out: {left_out}" if left_out else "")


def count(settings: Settings) -> Counts | None:
    """Samples of each class, where they can be told by now.

    Raises:
        SettingsError: the data's folder is that of the project, or no folder.
        DataError: what lies there is not the data set.
    """
    spec, here = settings.data, Case.here().folder.resolve()
    if here.is_relative_to(spec.folder.resolve()):
        raise SettingsError(
            f"data.folder: {spec.folder} holds the project itself, and all of it is pinned: give "
            "the data a folder of their own"
        )
    if spec.folder.exists() and not spec.folder.is_dir():
        raise SettingsError(f"data.folder: {spec.folder} is no folder: name the data's own")
    return sources.count(spec.source, spec.folder, sources.wanted_of(settings))


def reference(settings: Settings, classes: int) -> ViTConfig | BertConfig | None:
    """What the reference model will be like; None for one of the registry's, or an encoder that is
    not there yet.

    Raises:
        SettingsError: there is no such model, or it cannot be sliced.
    """
    spec, data = settings.backbone.reference, settings.data
    if data.modality == "text":
        if not texts.is_there(data):
            return None
        config = texts.encoder_config(data, classes)
        require_depths(settings, config, str(data.encoder))
        return config
    if spec.registered:
        return None
    if spec.name is None:
        return config_of(spec, data.image_size, data.channels, classes)
    named.require_known(spec.name, pretrained=spec.pretrained)
    timms = of_timm(spec.name, data.channels, data.image_size, num_classes=classes)
    require_depths(settings, timms, spec.name)
    return timms


def require_depths(settings: Settings, config: BackboneConfig, name: str) -> None:
    """Raises SettingsError if a model has fewer layers than the settings name."""
    if max(settings.backbone.depths) > config.depth:
        raise SettingsError(
            f"backbone.depths: {max(settings.backbone.depths)}, but {name} has "
            f"{counted(config.depth, 'layer')}"
        )


def of_timm(
    name: str, channels: int, size: int | None = None, where: str = named.WHERE, **classes: int
) -> ViTConfig:
    """A model of timm's for images with channels, of a size or else its own; ``classes`` are timm's
    ``num_classes``.

    Raises:
        SettingsError: there is no such model, it cannot be sliced, or its patches do not fit.
    """
    own = named.config_of(name, where)
    size = own.image_size if size is None else size
    require_whole_images(replace(own, image_size=size))
    return named.proven(name, where, in_chans=channels, img_size=size, **classes)


def require_whole_images(config: ViTConfig) -> None:
    """Raises SettingsError if patches leave a rim of the images that the model never sees; a stem
    leaves none."""
    size, patch = config.image_size, config.patch_size
    if isinstance(config, StemConfig):
        return
    if rim := size % patch:
        sizes = " or ".join(str(s) for s in (size - rim, size - rim + patch) if s)
        raise SettingsError(
            f"data.image_size: {size} is no multiple of the patches' {patch} pixels, so that {rim} "
            f"on a side would never be seen: give {sizes}, or a model of other patches "
            "(backbone.reference)"
        )


def require_weights(spec: Reference, config: ViTConfig, known: bool) -> None:
    """Raises SettingsError if a file of weights is of another model; the classifier counts where
    the number of classes is ``known``."""
    if spec.checkpoint is None:
        return
    state, needed = state_of(read_bytes(spec.checkpoint)), on_meta(config).state_dict()
    if not known:
        state, needed = ({k: v for k, v in s.items() if "head." not in k} for s in (state, needed))
    if spec.name is None:
        require_of_shape(state, needed)
    else:
        require_of_timm(state, spec.name)


def require_room(
    settings: Settings, config: BackboneConfig, words: Mapping[str, int] | None = None
) -> None:
    """Raises SettingsError if the smallest variant and its header do not fit a cluster; of texts,
    with as many ``words`` as the device of the cluster has that keeps most."""
    grid, budget = settings.backbone, settings.matching.header_budget
    linear = (config.dim + 1) * config.classes
    if budget < linear:
        raise SettingsError(
            f"matching.header_budget: {budget:,} parameters, of which the smallest header, for "
            f"{config.classes} classes, takes {linear:,}: raise it"
        )
    for cluster in settings.fleet:
        of, rows = config, ""
        if isinstance(config, BertConfig) and words is not None:
            most = max(words[device.name] for device in cluster.devices)
            of, rows = replace(config, vocabulary=most), f" with {most:,} words"
        smallest = backbone_parameters(variant_config(of, min(grid.widths), min(grid.depths)))
        if cluster.storage_limit < smallest + budget:
            raise SettingsError(
                f"fleet: {cluster.edge}: its smallest device holds {cluster.storage_limit:,} "
                f"parameters; the smallest variant{rows} ({smallest:,}) and "
                f"matching.header_budget ({budget:,}) need {smallest + budget:,}: raise its "
                "storage_limit, lower the budget, or add smaller backbone.widths or "
                "backbone.depths"
            )


def require_samples(settings: Settings, counts: Counts) -> None:
    """Raises SettingsError if the data are too few for what they are to be divided into."""
    spec, train, test = settings.partition, sum(counts.train), sum(counts.test)
    for names, taken, there, what in (
        ("public_train + public_val", spec.public_train + spec.public_val, train, "train samples"),
        ("public_test", spec.public_test, test, "test samples"),
    ):
        if taken > there or (taken == there and spec.samples_per_device):
            leave = "leave none for the devices" if spec.samples_per_device else "are too many"
            raise SettingsError(
                f"partition.{names}: {taken:,} of {there:,} {what} {leave}: lower it"
            )
    left = train + test - spec.public_train - spec.public_val - spec.public_test
    if spec.samples_per_device > left:
        raise SettingsError(
            f"partition.samples_per_device: {spec.samples_per_device:,}, but the public sets leave "
            f"{left:,} samples for all devices: lower it"
        )
