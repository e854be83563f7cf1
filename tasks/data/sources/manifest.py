"""The user's own images or texts, of which a file says what each is, and whose: see
:mod:`tasks.data.listed`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.data.dataset import (
    Dataset,
    Labels,
    Owned,
    Samples,
    Wanted,
    content_hashes,
    first_occurrences,
    texts_of,
)
from tasks.data.listed import Listed, Row, read_listed
from tasks.data.own import sources_of
from tasks.data.pictures import read_images
from tasks.data.rows import SPLITS
from tasks.data.skipped import Skipped, names_of
from tasks.data.splitting import seeded_test, tested
from tasks.run.errors import DataError
from tasks.settings.sources import Counts, OwnCount


def fetch(folder: Path, origin: Path | None = None) -> None:
    """Nothing is copied, moved or linked: all must lie in ``folder`` already.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder. Put the file there that lists the samples (data.manifest), "
            "and the images that it names, then: acme data pin"
        )


def count(folder: Path, wanted: Wanted) -> Counts:
    """How many samples of each class there are, context after context, and what each device has: of
    images by the rows alone, of texts those that differ.

    Raises:
        DataError: as :func:`read`.
    """
    listed = _listed(folder, wanted)
    if listed.kind == "text":
        return _counted(listed, _data(listed, wanted))
    cells, test = _cells(listed, listed.public), _told_test(listed.public)
    totals = np.bincount(cells, minlength=len(listed.contexts) * len(listed.classes))
    if test is None:
        of_test = np.array([tested(int(total), wanted.test_fraction) for total in totals])
    else:
        of_test = np.bincount(cells[test], minlength=len(totals))
    _require_both(listed, totals - of_test, of_test)
    devices = {device: _own_count(listed, device, rows) for device, rows in listed.devices.items()}
    return _counts(listed, totals - of_test, of_test, devices)


def _counts(listed: Listed, train: Labels, test: Labels, devices: Mapping[int, OwnCount]) -> Counts:
    return Counts(
        tuple(train.tolist()),
        tuple(test.tolist()),
        listed.classes,
        listed.contexts,
        other=names_of(listed.other),
        devices=devices,
        public_contexts=_public_contexts(listed),
    )


def images(folder: Path, wanted: Wanted) -> Iterable[Path]:
    """Those of the public rows; of texts, none."""
    listed = _listed(folder, wanted)
    return (folder / row.sample for row in listed.public if listed.kind == "image")


def read(folder: Path, wanted: Wanted) -> Dataset:
    """The public rows' samples, and what each device brings. Where no public row is told to be of
    the test split, each class of each context is split by content and seed; ``val`` is more of
    ``train``, from which the pipeline deals the validation sets.

    Raises:
        DataError: a row is wrong, it lists others than the wanted samples, or too many images are
            damaged; they are named.
    """
    return _data(_listed(folder, wanted), wanted)


def _listed(folder: Path, wanted: Wanted) -> Listed:
    """What the manifest lists. Raises DataError if its samples are of another kind than wanted."""
    listed = read_listed(folder, wanted.manifest, wanted.met)
    if wanted.kind in (None, listed.kind):
        return listed
    if listed.kind == "text":
        raise DataError(f"{folder / listed.name}: it lists texts: name an encoder (data.encoder)")
    raise DataError(
        f"{folder / listed.name}: it lists images (column path), but data.encoder is of texts: set "
        "it to null, or list texts (column text)"
    )


def _data(listed: Listed, wanted: Wanted) -> Dataset:
    brought: dict[int, Owned] = {}
    skipped = Skipped(other=names_of(listed.other))
    for device, rows in listed.devices.items():
        brought[device], more = _owned(listed, rows, wanted)
        skipped += more
    samples, rows, damaged = _read(listed, listed.public, wanted)
    cells, test = _cells(listed, rows), _told_test(rows)
    contexts, labels = np.divmod(cells, len(listed.classes))
    if test is None:
        test = np.zeros(len(rows), bool)
        for mine in (contexts == at for at in np.unique(contexts)):
            test[mine] = seeded_test(samples[mine], labels[mine], wanted)
    totals = [
        np.bincount(cells[of], minlength=len(listed.contexts) * len(listed.classes))
        for of in (~test, test)
    ]
    _require_both(listed, *totals)
    several = len(listed.contexts) > 1
    return Dataset(
        samples[~test],
        labels[~test],
        samples[test],
        labels[test],
        listed.classes,
        contexts=listed.contexts,
        train_contexts=contexts[~test] if several else None,
        test_contexts=contexts[test] if several else None,
        skipped=skipped + damaged,
        brought=brought,
        public_contexts=_public_contexts(listed),
    )


def _counted(listed: Listed, data: Dataset) -> Counts:
    """How many there are of texts that differ: of one that is there again, as many as are given
    out."""
    hashes = content_hashes(data.test_samples), content_hashes(data.train_samples)
    splits = zip(
        first_occurrences(*hashes),
        (data.test_labels, data.train_labels),
        (data.test_contexts, data.train_contexts),
        strict=True,
    )
    cells = len(listed.contexts) * len(listed.classes)
    test, train = (
        np.bincount(
            (labels if contexts is None else contexts * len(listed.classes) + labels)[usable],
            minlength=cells,
        )
        for usable, labels, contexts in splits
    )
    devices = {}
    for device, of in sources_of(data.brought or {}, {*hashes[0], *hashes[1]}).items():
        labels = of.labels[of.usable]
        told = np.zeros_like(labels) if of.told is None else of.told[of.usable]
        val, for_test = (int((told == at).sum()) for at in (1, 2))
        context = _context(listed, listed.devices[device])
        named = (listed.classes[label] for label in labels)
        learned = _learned(listed, device, zip(named, told == 2, strict=True))
        devices[device] = OwnCount(len(labels), learned, val, for_test, context)
    return _counts(listed, train, test, devices)


def _read(
    listed: Listed, rows: Sequence[Row], wanted: Wanted
) -> tuple[Samples, list[Row], Skipped]:
    """The samples of rows that can be read, those rows, and what was skipped."""
    if listed.kind == "text":
        return texts_of(row.sample for row in rows), [*rows], Skipped()
    files = [listed.folder / row.sample for row in rows]
    labels = [row.label for row in rows]
    pixels, kept, skipped = read_images(files, labels, wanted.image_size, wanted.channels)
    return pixels, [rows[at] for at in kept], skipped


def _owned(listed: Listed, rows: Sequence[Row], wanted: Wanted) -> tuple[Owned, Skipped]:
    """What a device brings; of a content that it has twice, the first is kept: that of the test
    split, as it is of a source's two splits."""
    told = "split" in listed.columns
    if told:
        rows = sorted(rows, key=lambda row: -SPLITS.index(str(row.split)))
    samples, kept, skipped = _read(listed, rows, wanted)
    splits = np.array([SPLITS.index(str(row.split)) for row in kept], np.int64) if told else None
    labels = _cells(listed, kept) % len(listed.classes)
    files = [listed.where(row) for row in kept]
    return Owned(samples, labels, files, splits, _context(listed, rows)), skipped


def _own_count(listed: Listed, device: int, rows: Sequence[Row]) -> OwnCount:
    val, tested = (sum(row.split == split for row in rows) for split in SPLITS[1:])
    learned = _learned(listed, device, ((row.label, row.split == SPLITS[2]) for row in rows))
    return OwnCount(len(rows), learned, val, tested, _context(listed, rows))


def _learned(listed: Listed, device: int, samples: Iterable[tuple[str, bool]]) -> frozenset[str]:
    """The classes of samples, each with whether it is told to be tested on, less those that the
    device is to meet there."""
    return frozenset(
        label for label, tested in samples if not (tested and (device, label) in listed.met)
    )


def _context(listed: Listed, rows: Sequence[Row]) -> int | None:
    """A device's, where contexts are told."""
    return listed.contexts.index(rows[0].context) if "context" in listed.columns else None


def _public_contexts(listed: Listed) -> tuple[int, ...] | None:
    """Those of the public rows, where contexts are told and other rows are devices'."""
    if not listed.devices or "context" not in listed.columns:
        return None
    found = {row.context for row in listed.public}
    return tuple(at for at, name in enumerate(listed.contexts) if name in found)


def _cells(listed: Listed, rows: Sequence[Row]) -> Labels:
    """The cell of each row: a class of a context."""
    contexts = {name: at for at, name in enumerate(listed.contexts)}
    labels = {name: at for at, name in enumerate(listed.classes)}
    cells = [contexts[row.context] * len(labels) + labels[row.label] for row in rows]
    return np.array(cells, np.int64)


def _told_test(rows: Sequence[Row]) -> NDArray[np.bool_] | None:
    """Which rows are told to be of the test split; None where none is."""
    test = np.array([row.split == "test" for row in rows])
    return test if test.any() else None


def _require_both(listed: Listed, train: Labels, test: Labels) -> None:
    """Raises DataError if public samples of a class (of a context, where devices are dealt some)
    are all of one split."""
    contexts: Sequence[str] = listed.contexts
    if listed.devices:  # nothing is dealt, so that contexts need not be alike
        contexts, (train, test) = ("all",), (_of_all_contexts(listed, of) for of in (train, test))
    for has, lacks, split in ((train, test, "test"), (test, train, "train")):
        for cell in np.flatnonzero((has > 0) & (lacks == 0)):
            context, label = divmod(int(cell), len(listed.classes))
            of = f" ({contexts[context]})" if len(contexts) > 1 else ""
            raise DataError(
                f"{listed.folder / listed.name}: class {listed.classes[label]}{of} has no public "
                f"{listed.kind} of the {split} split: mark one; or list 2 or more, "
                "without column split"
            )


def _of_all_contexts(listed: Listed, cells: Labels) -> Labels:
    total: Labels = cells.reshape(-1, len(listed.classes)).sum(0)
    return total
