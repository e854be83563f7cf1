"""A manifest: the user's own list of samples, in CSV or parquet, a row a sample.

``path`` (of an image, below the data's folder) or ``text``, and ``label``; optionally ``context``,
``device`` (whose sample it is; empty: public) and ``split``. Cells are text, as they stand there:
label ``01`` is not ``1``.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NoReturn

from tasks.data.dataset import ALL
from tasks.data.encoder import FOLDER as ENCODER
from tasks.data.folders import is_hidden
from tasks.data.pin import files_of
from tasks.data.rows import SPLITS
from tasks.links.ends import DEVICE
from tasks.run.errors import DataError
from tasks.run.tables import Lines, read_csv, read_parquet
from tasks.run.words import counted

PATH, TEXT = SAMPLES = ("path", "text")
"""Columns of which a manifest has one: its samples are images, or texts."""
KNOWN = (*SAMPLES, "label", "context", "device", "split")
USUAL = ("manifest.csv", "manifest.parquet")
ID = re.compile(rf"(?:{DEVICE})?([0-9]{{1,9}})")
"""How a device is called: by its id, or as in the fleet's table."""
MOST_NAMED = 3  # rows that an error names; of more, the number
LONGEST = 60  # letters of a cell that an error shows


@dataclass(frozen=True)
class Row:
    """A sample: an image's path, or a text. ``device`` is an id, None of a public sample; ``split``
    is None where the manifest tells none."""

    number: int
    sample: str
    label: str
    context: str
    device: int | None
    split: str | None


@dataclass(frozen=True)
class Listed:
    """What a manifest lists, sorted by context, label and sample: its own order means nothing.

    Attributes:
        folder, name: the data's, and the manifest's in it.
        columns: those that there are.
        other: files beside the samples that it does not list.
        met: devices and classes that they want, of which they may have rows to test on alone.
    """

    folder: Path
    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    other: tuple[Path, ...]
    met: Collection[tuple[int, str]] = ()

    @property
    def kind(self) -> str:
        """What a sample is: ``image`` or ``text``."""
        return "text" if TEXT in self.columns else "image"

    @cached_property
    def classes(self) -> tuple[str, ...]:
        return tuple(sorted({row.label for row in self.rows}))

    @cached_property
    def contexts(self) -> tuple[str, ...]:
        return tuple(sorted({row.context for row in self.rows}))

    @cached_property
    def public(self) -> list[Row]:
        """The rows of no device."""
        return [row for row in self.rows if row.device is None]

    @cached_property
    def devices(self) -> dict[int, list[Row]]:
        """The rows of each device, by its id."""
        found: dict[int, list[Row]] = {}
        for row in self.rows:
            if row.device is not None:
                found.setdefault(row.device, []).append(row)
        return dict(sorted(found.items()))

    def where(self, row: Row) -> Path | str:
        """Where a sample lies."""
        if self.kind == "image":
            return self.folder / row.sample
        return f"{self.folder / self.name}, {_unit(self.folder / self.name)} {row.number}"

    def refuse(self, rows: Collection[Row], words: str) -> NoReturn:
        """Raises DataError that names the rows."""
        refuse(self.folder / self.name, [row.number for row in rows], words)


def read_listed(folder: Path, name: str, met: Collection[tuple[int, str]] = ()) -> Listed:
    """What a manifest lists, all of it as it must be and there.

    Args:
        met: see :class:`Listed`.

    Raises:
        DataError: it is not; names the rows.
    """
    place = folder / name
    columns, lines = _table(place)
    _require_columns(place, columns)
    if not lines:
        raise DataError(f"{place}: no row: it lists no sample")
    _require_cells(place, columns, lines)
    present = {
        name: path for name, path in files_of(folder).items() if Path(name).parts[0] != ENCODER
    }
    rows = [_row(number, cells) for number, cells in lines]
    images = PATH in columns
    if images:
        _require_paths(folder, place, rows, present)
    listed = {row.sample for row in rows} if images else set()
    other = [
        path
        for name, path in present.items()
        if name not in listed and path != place and not any(map(is_hidden, Path(name).parts))
    ]

    def order(row: Row) -> tuple[str, str, PurePosixPath | str]:
        return row.context, row.label, PurePosixPath(row.sample) if images else row.sample

    found = Listed(folder, name, columns, tuple(sorted(rows, key=order)), tuple(other), met)
    _require_owners(found)
    return found


def refuse(place: Path, numbers: Iterable[int], words: str) -> NoReturn:
    """Raises DataError that names some rows of a manifest: lines of CSV, rows of parquet."""
    unit, found = _unit(place), sorted(numbers)
    named = ", ".join(map(str, found[:MOST_NAMED]))
    more = f" and {len(found) - MOST_NAMED:,} more" if len(found) > MOST_NAMED else ""
    raise DataError(f"{place}, {unit}{'s' if len(found) > 1 else ''} {named}{more}: {words}")


def _unit(place: Path) -> str:
    """What a sample is of a manifest."""
    return "row" if _is_parquet(place) else "line"


def _is_parquet(place: Path) -> bool:
    return place.suffix.lower() == ".parquet"


def _table(place: Path) -> tuple[tuple[str, ...], Lines]:
    if not place.is_file():
        raise DataError(
            f"{place}: No such file. It lists the samples, columns path (or text), label and more "
            "(docs/manifest.md); data.manifest names it"
        )
    if _is_parquet(place):
        return read_parquet(place, DataError)
    try:
        text = place.read_text("utf-8-sig")  # spreadsheets write a mark before the first name
    except UnicodeDecodeError:
        raise DataError(f"{place}: not a text file in UTF-8. Save it as such") from None
    return read_csv(place, text, DataError)


def _require_columns(place: Path, columns: tuple[str, ...]) -> None:
    """A misspelt column must not pass as none: its device's rows would be public."""
    known = ", ".join(KNOWN)
    if len(columns) == 1 and set(columns[0]) & set(";\t|"):
        raise DataError(f"{place}: its columns {columns[0]!r} are not separated by commas")
    for name in columns:
        if name not in KNOWN:
            raise DataError(f"{place}: unknown column {name[:LONGEST]!r}; there are: {known}")
    if set(SAMPLES) <= set(columns):
        raise DataError(f"{place}: columns path and text: samples are images or texts, keep one")
    if not set(SAMPLES) & set(columns):
        raise DataError(f"{place}: no column path (of images) or text; there are: {known}")
    if "label" not in columns:
        raise DataError(f"{place}: no column label; there are: {known}")


def _require_cells(place: Path, columns: tuple[str, ...], lines: Lines) -> None:
    def none_is(column: str, words: str, wrong: Callable[[str], bool]) -> None:
        found = [(at, cell) for at, row in lines if wrong(cell := row[column] or "")]
        if found:
            cell = found[0][1]
            refuse(place, [at for at, _ in found], words.format(repr(cell[:LONGEST])))

    if TEXT in columns:
        none_is(TEXT, "no text: a cell is empty", lambda cell: not cell)
        none_is(TEXT, "text {}: nothing in it can be seen", lambda cell: not _visible(cell))
        none_is(TEXT, "text {} holds a control character", _controlled)
    for column in columns:
        if column == TEXT:
            continue
        if column != "device":
            none_is(column, f"no {column}: a cell is empty", lambda cell: not cell)
        none_is(
            column, f"{column} {{}} begins or ends with a space", lambda cell: cell != cell.strip()
        )
        none_is(
            column,
            f"{column} {{}} holds a line break or the like",
            lambda cell: any(unicodedata.category(letter) == "Cc" for letter in cell),
        )
    if "split" in columns:
        choice = ", ".join(SPLITS)
        none_is("split", f"split {{}}: choose one of {choice}", lambda cell: cell not in SPLITS)
    if "device" in columns:
        none_is(
            "device",
            f"device {{}}: give the id that it has in the fleet, 3 or {DEVICE}03",
            lambda cell: bool(cell) and not ID.fullmatch(cell),
        )


def _visible(text: str) -> bool:
    """Whether it holds anything but spaces and what is like them."""
    return any(unicodedata.category(letter)[0] not in "ZC" for letter in text)


def _controlled(text: str) -> bool:
    """Whether it holds what no text does: control characters but tabs and line breaks, and halves
    of characters."""
    return any(
        unicodedata.category(letter) in ("Cc", "Cs") and letter not in "\t\n\r" for letter in text
    )


def _row(number: int, cells: dict[str, str | None]) -> Row:
    """Text is compared by its letters, however they are spelt (Unicode's NFC or NFD); of a sample,
    spaces and line breaks count as one space."""

    def text(column: str) -> str:
        return unicodedata.normalize("NFC", cells[column] or "")

    device = ID.fullmatch(cells.get("device") or "")
    return Row(
        number,
        " ".join(text(TEXT).split()) if TEXT in cells else _path(cells),
        text("label"),
        text("context") if "context" in cells else ALL,
        int(device[1]) if device else None,
        cells.get("split"),
    )


def _path(cells: dict[str, str | None]) -> str:
    return str(PurePosixPath(cells[PATH] or ""))  # ./a//b is a/b


def _require_paths(folder: Path, place: Path, rows: list[Row], present: Collection[str]) -> None:
    """All below the data's folder, there, and pinned with it; none twice."""

    def none_is(wrong: Callable[[str], bool], words: str) -> None:
        if found := [row for row in rows if wrong(row.sample)]:
            named = f"path {found[0].sample[:LONGEST]!r}"
            refuse(place, [row.number for row in found], f"{named}{words}")

    def outside(path: str) -> bool:
        return "\\" in path or ".." in Path(path).parts or Path(path).is_absolute()

    def is_behind(path: str) -> bool:
        return path not in present and (folder / path).is_file()

    counts = Counter(row.sample for row in rows)
    none_is(outside, f": give it below {folder}, with / in it")
    none_is(is_behind, ": behind a link to a folder, or in one of git's or DVC's: it is not pinned")
    none_is(lambda path: path not in present, f": no such file in {folder}")
    none_is(lambda path: counts[path] > 1, " stands there more than once")


def _require_owners(listed: Listed) -> None:
    """Who has which rows is as it can be: see docs/manifest.md."""
    place = listed.folder / listed.name
    if "device" in listed.columns and not listed.devices:
        raise DataError(
            f"{place}: column device is empty: leave it out, or say whose rows are whose"
        )
    if not listed.public:
        raise DataError(f"{place}: each row has a device; those of none are what the cloud learns")
    taught = {row.label for row in listed.public if row.split != "test"}
    if len(taught) < 2:
        had = counted(len(taught), "class")
        raise DataError(f"{place}: {had} to learn from in the public rows; at least 2 are needed")
    if unknown := [row for row in listed.rows if row.label not in taught]:
        words = f"label {unknown[0].label[:LONGEST]!r}: no public row to learn it from"
        listed.refuse([row for row in unknown if row.label == unknown[0].label], words)
    for device, rows in listed.devices.items():
        if len(seen := sorted({row.context for row in rows})) > 1:
            named = ", ".join(seen)
            listed.refuse(rows, f"{DEVICE}{device:02d} has several contexts ({named}); give it one")
        learned = {row.label for row in rows if row.split in (None, "train")}
        learned |= {label for wants, label in listed.met if wants == device}
        if untaught := [row for row in rows if row.label not in learned]:
            label = untaught[0].label[:LONGEST]
            words = f"{DEVICE}{device:02d} has no train row of label {label!r}"
            listed.refuse([row for row in untaught if row.label == untaught[0].label], words)
