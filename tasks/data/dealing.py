"""Who gets which of the raw data: read, told apart and dealt; nothing is written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.data import own, sources
from tasks.data.contexts import Contexts, contexts_of
from tasks.data.dataset import Brought, Dataset, content_hashes, first_occurrences
from tasks.data.enough import require_enough
from tasks.data.partition import partition
from tasks.data.plan import Plan, devices_of, plan_of
from tasks.data.raw import Arrays, Divided, Raw, RawImages
from tasks.data.rows import Source
from tasks.data.skipped import Skipped
from tasks.data.texts import RawTexts
from tasks.data.unseen import require_wanted
from tasks.run.log import LOG
from tasks.settings.params import Settings

RAW: dict[str, Callable[[Divided], Raw]] = {"image": RawImages, "text": RawTexts}
"""By modality."""


@dataclass(frozen=True)
class Dealt:
    """Data as they were read, and whose they are; nothing is written yet."""

    data: Dataset
    brought: Brought
    skipped: Skipped
    contexts: Contexts
    plan: Plan
    source: tuple[Source, Source]
    manifest: pd.DataFrame


def deal(settings: Settings, tell: bool = False) -> Dealt:
    """Read all raw data and say whose they are; ``tell`` what is not read.

    Raises:
        DataError: a file is missing or damaged, or the data are too few.
        SettingsError: the data have other contexts or devices.
    """
    spec = settings.data
    data = sources.load(spec.source, spec.folder, sources.wanted_of(settings))
    brought, own_skipped = own.brought_by(settings, data)
    told = {device: owned.context for device, owned in brought.items()}
    contexts = contexts_of(settings, data.contexts, data.public_contexts, told)
    skipped = data.skipped + own_skipped
    if tell and skipped.words:
        print(f"Not read: {skipped.words}", file=sys.stderr)
        LOG.warning("Not read: %s", skipped.words)
    source = _sources(data)
    train, test = (_usable(of, len(data.classes), contexts.dealt) for of in source)
    plan = plan_of(settings, contexts, train)
    learned = {device: o.learned(data.classes) for device, o in brought.items()}
    require_wanted(settings, plan, data.classes, learned)
    require_enough(settings, plan, data.classes, (train, test))
    manifest = _manifest(settings, plan, source, brought, data.classes)
    return Dealt(data, brought, skipped, contexts, plan, source, manifest)


def raw_of(settings: Settings, dealt: Dealt) -> Raw:
    """The raw samples as they will be written."""
    samples, _ = arrays_of(dealt.data, dealt.brought)
    divided = Divided(settings.data, dealt.data, dealt.contexts, dealt.manifest, samples)
    return RAW[settings.data.modality](divided)


def _manifest(
    settings: Settings,
    plan: Plan,
    source: tuple[Source, Source],
    brought: Brought,
    names: Sequence[str],
) -> pd.DataFrame:
    train, test = source
    known = {*train.sha256, *test.sha256}
    devices = devices_of(settings, plan.contexts, names)
    brings = own.sources_of(brought, known)
    own_sources = {d.name: brings[d.id] for d in devices if d.id in brings}
    return partition(train, test, devices, plan, settings.seed, own_sources)


def arrays_of(data: Dataset, brought: Brought) -> tuple[Arrays, Arrays]:
    """Raw samples and labels by what sample ids begin with."""
    samples = {"train": data.train_samples, "test": data.test_samples}
    labels = {"train": data.train_labels, "test": data.test_labels}
    samples |= {own.source_name(device): owned.samples for device, owned in brought.items()}
    labels |= {own.source_name(device): owned.labels for device, owned in brought.items()}
    return samples, labels


def _sources(data: Dataset) -> tuple[Source, Source]:
    """Both splits; a content that appears again is given out once, the test split's first."""
    hashes = {"test": content_hashes(data.test_samples)}
    hashes["train"] = content_hashes(data.train_samples)
    test, train = first_occurrences(hashes["test"], hashes["train"])
    return (
        Source("train", data.train_labels, hashes["train"], train, data.train_contexts),
        Source("test", data.test_labels, hashes["test"], test, data.test_contexts),
    )


def _usable(source: Source, classes: int, contexts: int) -> list[int]:
    """Distinct samples of each cell."""
    cells = source.cells(classes)[source.usable]
    return np.bincount(cells, minlength=contexts * classes).tolist()
