"""What Debian's packages are, in the languages that they are described in: a text's class is its
package's section, its context its language.

All texts of a source package are of one split, in all languages together, so that none is a
translation of one that is on the other side.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.data import debian
from tasks.data.dataset import Dataset, Wanted, texts_of
from tasks.data.debian import Description
from tasks.run.errors import DataError
from tasks.run.files import atomic_write
from tasks.settings.sources import Counts

PIVOT = "en"
"""Which the others are translations of."""
KNOWN = {
    "da": (20335, "d1939ef9ecdd95922a80fe65dda83307fcf1cac48b9d93fae416d4a287656c13"),
    "de": (7123, "1fce7682ce29b5e00ca78cb41dda4554831a1a1dd709b750bf65f3b35eac8bdd"),
    "en": (22859, "6cb503b2bf09da42bedf0fbf80cc9de29dadaf59364aa97eedbe394ecf621e90"),
    "fr": (11041, "bb09ff182cf59435342a6791c642d0687c3c07f0e6c82c8386d73ccb91fbfee6"),
    "it": (19934, "f9f54dffd2fe2c361e5e748b6203c7bbe2db78869f58557aed786f89e0e59f52"),
    "ja": (3968, "410f053d5b267f65fc85eaff279c99c788e8ee3551034be68faeae896f696387"),
    "ko": (3008, "f6f90c989b688d2276a5fac8f4ec58e82b58064d76f4aadb850794c954a561ac"),
    "pt_BR": (3922, "0f99e7ee5e5b222f6d3b65db4edeaa16d58a2fed82f9ec61fd5567f9fb5efd84"),
    "sk": (5550, "1c4915fa6e481232027d8b1566b62cf3ed3161e2e1352d53298fbaf638e1c9a2"),
    "uk": (3004, "15d1607d9ce9d8a41fbd7799fa986bd9216a186f4d088c18a84045c8abc49240"),
}
"""The languages; how many texts there were in each when docs/text.md was written, and the hash of
their content."""
LANGUAGES = tuple(KNOWN)
CLASSES = (
    "games",
    "net",
    "admin",
    "utils",
    "text",
    "x11",
    "sound",
    "science",
    "graphics",
    "devel",
    "libs",
    "gnome",
)
COLUMNS = tuple(field.name for field in fields(Description))


def fetch(folder: Path, origin: Path | None = None) -> None:
    """Bring the texts of the languages that are not there into ``folder``, a file a language: of
    the lists in ``origin``, else of those of this machine's package archives.

    Raises:
        DataError: no place has them; each is named with its reason.
    """
    missing = [name for name in LANGUAGES if not (folder / f"{name}.parquet").exists()]
    if not missing:
        return
    failures = []
    with tempfile.TemporaryDirectory() as scratch:
        for place, lists in _places(origin, Path(scratch)):
            try:
                found = debian.descriptions(lists(), (PIVOT, *missing))
            except DataError as error:
                failures.append(f"{place}: {error}")
                continue
            for name in missing:
                atomic_write(folder / f"{name}.parquet", packed(_of_classes(found[name])))
            return
    raise DataError(
        f"package-descriptions: cannot fetch {', '.join(missing)}. Tried {'; '.join(failures)}. "
        "Set data.origin to a folder with Debian's lists (Packages, Translation-de and so on)"
    )


def read(folder: Path, wanted: Wanted) -> Dataset:
    """All texts, and beside each to train on the English one of the same package.

    Raises:
        DataError: a file is missing or damaged.
    """
    of_all = {name: rows_of(folder, name) for name in LANGUAGES}
    english = {(row.package, row.md5): row.text for row in of_all[PIVOT]}
    rows = [row for of_one in of_all.values() for row in of_one]
    texts = texts_of(row.text for row in rows)
    parallel = texts_of(english.get((row.package, row.md5), row.text) for row in rows)
    labels = _labels([row.section for row in rows])
    contexts = np.repeat(np.arange(len(LANGUAGES)), [len(of_one) for of_one in of_all.values()])
    test = _tested([row.source for row in rows], wanted)
    return Dataset(
        texts[~test],
        labels[~test],
        texts[test],
        labels[test],
        CLASSES,
        contexts=LANGUAGES,
        train_contexts=contexts[~test],
        test_contexts=contexts[test],
        train_parallel=parallel[~test],
        pivot=LANGUAGES.index(PIVOT),
    )


def count(folder: Path, wanted: Wanted) -> Counts:
    """How many texts of each class there are in each language. See :func:`read`."""
    train: list[int] = []
    tested: list[int] = []
    for name in LANGUAGES:
        names, sections = _columns(folder, name, ("source", "section"))
        labels, test = _labels(sections), _tested(names, wanted)
        train += np.bincount(labels[~test], minlength=len(CLASSES)).tolist()
        tested += np.bincount(labels[test], minlength=len(CLASSES)).tolist()
    return Counts(tuple(train), tuple(tested), CLASSES, LANGUAGES)


def moved_on(folder: Path) -> str | None:
    """How the texts in a folder differ from those of docs/text.md, in a line; None: they do not."""
    changed = []
    for name, (texts, content) in KNOWN.items():
        rows = rows_of(folder, name)
        if content_hash(rows) != content:
            changed.append(f"{name} {len(rows):,} for {texts:,}")
    if not changed:
        return None
    return (
        "package-descriptions: the archive has moved on since docs/text.md was written. Other "
        f"texts: {', '.join(changed)}"
    )


def rows_of(folder: Path, language: str) -> list[Description]:
    """The texts of a language, sorted. Raises DataError if its file is missing or damaged."""
    return [Description(*row) for row in zip(*_columns(folder, language, COLUMNS), strict=True)]


def packed(rows: Sequence[Description]) -> bytes:
    """A table of texts, as a parquet file."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = zip(*map(astuple, rows), strict=True) if rows else [()] * len(COLUMNS)
    arrays = [pa.array(column, pa.string()) for column in columns]
    payload = io.BytesIO()
    parquet.write_table(pa.table(arrays, names=COLUMNS), payload, compression="zstd")
    return payload.getvalue()


def content_hash(rows: Sequence[Description]) -> str:
    """sha256 of texts, whatever file they lie in."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update("\0".join((*astuple(row), "")).encode())
    return digest.hexdigest()


def _places(origin: Path | None, scratch: Path) -> Iterator[tuple[str, Callable[[], Path]]]:
    """Places of lists, and what brings them."""

    def updated() -> Path:
        debian.update(scratch / "lists", LANGUAGES)
        return scratch / "lists"

    if origin is not None:
        yield str(origin), lambda: origin
    yield "this machine's package archives", updated


def _of_classes(found: Sequence[Description]) -> list[Description]:
    return [text for text in found if text.section in CLASSES]


def _tested(names: Sequence[str], wanted: Wanted) -> NDArray[np.bool_]:
    """Which are of the test split, by their sources' names: one package more moves no other."""
    drawn = {
        name: int(hashlib.sha256(f"{wanted.seed} {name}".encode()).hexdigest()[:8], 16) / 2**32
        for name in set(names)
    }
    return np.array([drawn[name] < wanted.test_fraction for name in names], bool)


def _labels(sections: Sequence[str]) -> NDArray[np.int64]:
    places = {name: at for at, name in enumerate(CLASSES)}
    return np.array([places[name] for name in sections], np.int64)


def _columns(folder: Path, language: str, names: Sequence[str]) -> list[list[str]]:
    """Columns of a language's file. Raises DataError if it is missing or damaged."""
    import pyarrow as pa
    from pyarrow import parquet

    place = folder / f"{language}.parquet"
    try:
        table = parquet.read_table(place, columns=list(names))
        found: list[list[str]] = [table[name].to_pylist() for name in names]
        unknown = set(table["section"].to_pylist()) - set(CLASSES)
    except FileNotFoundError:
        raise DataError(f"{place}: No such file. Try: acme data fetch") from None
    except (pa.ArrowException, OSError, KeyError) as error:
        words = " ".join(str(error).split())
        raise DataError(f"{place}: damaged ({words}). Delete it and: acme data fetch") from None
    if unknown:
        raise DataError(f"{place}: damaged (other sections). Delete it and: acme data fetch")
    return found
