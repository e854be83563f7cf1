"""What of a user's files was not read, and how it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from tasks.run.files import write_json
from tasks.run.words import counted
from tasks.run.written import read_written_json

FILE = "skipped.json"  # apart from data.json, which the cloud reads: a device's files may be in it
NAMED = 3
"""So many names stand in a line; of more, the number."""


@dataclass(frozen=True)
class Skipped:
    """Paths of files that lie among a user's images and are not read: ``damaged`` images, and files
    of another kind, or in no class's folder (``other``)."""

    damaged: tuple[str, ...] = ()
    other: tuple[str, ...] = ()

    def __add__(self, more: Skipped) -> Skipped:
        return Skipped(self.damaged + more.damaged, self.other + more.other)

    @property
    def words(self) -> str:
        """Both, counted, the first of them named; empty where there is nothing to say."""
        suffixes = Counter(Path(name).suffix.lower() or "without suffix" for name in self.other)
        kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in suffixes.most_common(NAMED))
        parts = [
            (self.damaged, "damaged image", ""),
            (self.other, "other file", f"{kinds}: "),
        ]
        return " and ".join(
            f"{counted(len(names), what)} ({also}{', '.join(names[:NAMED])}"
            f"{', ...' if len(names) > NAMED else ''})"
            for names, what, also in parts
            if names
        )


def names_of(paths: Iterable[Path]) -> tuple[str, ...]:
    """Paths as :class:`Skipped` holds them."""
    return tuple(path.as_posix() for path in paths)


def write_skipped(skipped: Skipped, folder: Path) -> None:
    """Leave it in a partition's folder."""
    write_json(folder / FILE, asdict(skipped))


def read_skipped(folder: Path) -> Skipped:
    """What the partition stage left in a folder."""
    return TypeAdapter(Skipped).validate_python(read_written_json(folder, FILE))
