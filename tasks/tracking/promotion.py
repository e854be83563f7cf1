"""Which challenger becomes champion: one that fits the device and is not worse on its data.

Champion and challenger are scored on the same validation split, as it is now: a score from the
time when the champion was trained would compare two models on two data sets.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from models.backbone.training import evaluate
from tasks.data.modality import DataInfo
from tasks.data.samples import read_info, read_words, samples_ref, tokenizer_ref
from tasks.delivery.shipped import inputs_of, load_registered, unshipped
from tasks.run.cached import retried
from tasks.run.errors import ArtifactError, RegistryError
from tasks.run.store import Ref, read_tensors
from tasks.settings.case import Case
from tasks.settings.fleet import Device
from tasks.settings.params import Settings
from tasks.tracking.registry import (
    CHALLENGER,
    CHAMPION,
    ROLLED_BACK,
    Registry,
    Version,
    backbone_model,
    device_model,
)
from tasks.tracking.state import state_file


@dataclass(frozen=True)
class Standing:
    """A version's size in parameters and its accuracy on the validation split of its owner; None
    where it has nobody to be compared with."""

    number: str
    parameters: int
    val_accuracy: float | None = None


@dataclass(frozen=True)
class Judged:
    """What models are compared on: an owner's samples, and of texts the tokenizer by which they are
    numbered, and the most ``words`` that a device of a cluster keeps of its backbone."""

    samples: Ref
    info: DataInfo
    tokenizer: Ref | None
    words: int | None = None


@dataclass(frozen=True)
class Decision:
    """What became of a model's challenger, and why. One that is ``refused`` was not opened, or is
    no model of ours."""

    model: str
    challenger: str
    promoted: bool
    reason: str
    refused: bool = False


@dataclass(frozen=True)
class Owner:
    """Whom a registered model is for: a device, or a cluster (of ``devices``, by name) with the
    cloud's validation data."""

    model: str
    samples: str
    storage_limit: int
    devices: tuple[str, ...] = ()


def owners(case: Case, settings: Settings) -> Iterator[Owner]:
    """Every model of the fleet, backbones first."""
    for cluster in settings.fleet:
        names = tuple(device.name for device in cluster.devices)
        yield Owner(backbone_model(case, cluster.edge), "cloud", cluster.storage_limit, names)
    for cluster in settings.fleet:
        yield from (owner_of(case, device) for device in cluster.devices)


def owner_of(case: Case, device: Device) -> Owner:
    """A device's model."""
    return Owner(device_model(case, device.name), device.name, device.storage_limit)


def judge(challenger: Standing, champion: Standing | None, limit: int) -> tuple[bool, str]:
    """Whether to promote, and why. ``limit`` is the device's, in parameters."""
    if challenger.parameters > limit:
        return False, f"{challenger.parameters:,} parameters, the limit is {limit:,}"
    if champion is None:
        return True, f"fits ({challenger.parameters:,} of {limit:,} parameters), and is the first"
    if champion.parameters > limit:
        return True, f"fits; the champion (version {champion.number}) no longer does"
    assert challenger.val_accuracy is not None
    assert champion.val_accuracy is not None
    words = (
        f"{challenger.val_accuracy:.4f} on validation, "
        f"the champion (version {champion.number}) has {champion.val_accuracy:.4f}"
    )
    return challenger.val_accuracy >= champion.val_accuracy, words


@retried("promote {owner.model}")
def promote(case: Case, owner: Owner, force: bool = False) -> Decision | None:
    """Decide on a model's challenger; None where there is none. One that cannot be compared, since
    it or the champion is none of ours, stays what it is.

    Args:
        force: promote whatever the scores say (a limit is kept all the same).
    """
    registry = Registry(case.project)
    challenger = registry.find(owner.model, CHALLENGER)
    if challenger is None:
        return None
    champion = registry.find(owner.model, CHAMPION)
    info = read_info(case.partition)
    words = read_words(case.partition, info)
    data = Judged(
        samples_ref(owner.samples, case.partition),
        info,
        tokenizer_ref(case.partition),
        max((words[name] for name in owner.devices if name in words), default=None),
    )
    try:
        compared = champion is not None  # to be scored takes longest: of a first run nothing is
        ours = _standing(challenger, data, compared)
        theirs = _standing(champion, data, compared) if champion else None
    except RegistryError as error:
        registry.hold(challenger, f"refused: {error}")
        return Decision(owner.model, challenger.number, False, str(error), refused=True)
    promoted, reason = judge(ours, theirs, owner.storage_limit)
    if challenger.tags.get(ROLLED_BACK) and not force:
        promoted, reason = False, "it was rolled back before; promote it by name with --force"
    elif force and ours.parameters <= owner.storage_limit:
        promoted, reason = True, f"forced; {reason}"
    (registry.promote if promoted else registry.hold)(challenger, reason)
    return Decision(owner.model, challenger.number, promoted, reason)


def any_known(project: Path, models: Iterable[Owner]) -> bool:
    """Whether the registry has a version of any of these models. A new server has none, though the
    outcome that it should hold may be here and up to date."""
    registry = Registry(project)
    return any(registry.find(o.model, a) for o in models for a in (CHAMPION, CHALLENGER))


def _standing(version: Version, data: Judged, compared: bool) -> Standing:
    """How large a version is and, if it is ``compared``, how it does, by its state alone. Raises
    RegistryError if that is none of ours."""
    tensors, _ = read_tensors(data.samples)
    raw, labels = tensors[f"val_{data.info.raw}"], tensors["val_labels"].long()
    with tempfile.TemporaryDirectory() as scratch:
        file = state_file(version, Path(scratch))
        try:
            module = load_registered(file, data.info)
            inputs = inputs_of(file, raw, data.info, data.tokenizer)
            spared = unshipped(file, data.words)
        except ArtifactError as error:
            raise RegistryError(f"{version.name} version {version.number}: {error}") from None
    size = sum(p.numel() for p in module.parameters()) - spared
    accuracy = evaluate(module, inputs, labels)[1] if compared else None
    return Standing(version.number, size, accuracy)
