"""Data sets behind one small interface: :func:`fetch` brings files, :func:`load` reads them.

A source of :data:`tasks.settings.sources.SOURCES` is a file here with two functions:
``fetch(folder, origin)`` and ``read(folder, wanted)``, which gives a :class:`Dataset`; and
``count(folder, wanted)``, where that can be told without reading. One whose files the user brings
has ``images(folder, wanted)`` too, of which `acme init` looks at the first; one whose place holds
other files as time goes by, ``moved_on(folder)``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

from models.choices import chosen
from tasks.data.dataset import Dataset, Wanted
from tasks.data.pictures import fitted
from tasks.run.errors import SettingsError
from tasks.settings.params import Settings
from tasks.settings.sources import SOURCES, Counts


def wanted_of(settings: Settings) -> Wanted:
    """How the settings have a data set read."""
    spec = settings.data
    return Wanted(
        spec.image_size,
        spec.channels,
        settings.seed,
        spec.test_fraction,
        spec.context_folders,
        spec.manifest,
        spec.modality,
        frozenset((device.id, name) for device in settings.devices for name in device.wanted),
    )


def fetch(source: str, folder: Path, *, origin: Path | None = None) -> None:
    """Bring the raw files of ``source`` into ``folder`` unless they are there: from ``origin`` or
    the network. A file that is there is never replaced, and what the user brings is not touched.

    Raises:
        DataError: no place answers; each is named with its reason.
        SettingsError: unknown source.
    """
    _module(source).fetch(folder, origin)


def load(source: str, folder: Path, wanted: Wanted) -> Dataset:
    """Read a data set, its images of the size and with the channels that are wanted.

    Raises:
        DataError: a file is missing or damaged; it is named.
        SettingsError: unknown source.
    """
    data: Dataset = _module(source).read(folder, wanted)
    if data.train_samples.dtype == object:  # texts are as they are
        return data
    return replace(
        data,
        train_samples=fitted(data.train_samples, wanted.image_size, wanted.channels),
        test_samples=fitted(data.test_samples, wanted.image_size, wanted.channels),
    )


def count(source: str, folder: Path, wanted: Wanted) -> Counts | None:
    """How many samples each class has, without reading one; None where nobody knows yet.

    Raises:
        DataError: what lies there is not this data set.
        SettingsError: unknown source.
    """
    module = _module(source)
    if known := SOURCES[source].counts:
        return known
    if not folder.exists() or not hasattr(module, "count"):
        return None
    found: Counts = module.count(folder, wanted)
    return found


def moved_on(source: str, folder: Path) -> str | None:
    """How what lies in ``folder`` differs from what was there when this project's pages were
    written, in a line; None where it does not, or nothing of the kind is known."""
    module = _module(source)
    words: str | None = module.moved_on(folder) if hasattr(module, "moved_on") else None
    return words


def images(source: str, folder: Path, wanted: Wanted) -> Iterable[Path]:
    """The image files of a source that the user brings."""
    found: Iterable[Path] = _module(source).images(folder, wanted)
    return found


def _module(source: str) -> ModuleType:
    try:
        chosen("data.source", source, SOURCES)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    name = source.replace("-", "_")
    return import_module(f"tasks.data.sources.{name}")
