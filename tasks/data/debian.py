"""Debian's lists of packages: fetched as this machine's apt is told to, and read.

A *Packages* index says of each package its section and source, a *Translation* what it is, in a
language. Both are stanzas of ``Name: value`` lines (deb822), on from which lines that begin with a
space go.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tasks.run.errors import DataError

TIMEOUT_S = 600.0
NAME = re.compile(r"(?:.*_)?(Packages|Translation-([A-Za-z_]+))(\.gz|\.xz|\.bz2)?")
"""A list's file in apt's folder, or as an archive calls it."""
OPENERS: dict[str | None, Callable[..., Any]] = {
    None: open,
    ".gz": gzip.open,
    ".xz": lzma.open,
    ".bz2": bz2.open,
}
DAMAGED = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True, order=True)
class Description:
    """What a package is, in a language.

    Attributes:
        package, md5: which description of which package; the same in each language.
        source: the name of the package's source, which other packages may share.
        section: the last part of its section.
        text: its title and its paragraphs.
    """

    package: str
    md5: str
    source: str
    section: str
    text: str


def update(lists: Path, languages: Sequence[str]) -> None:
    """Bring the lists of this machine's archives, in ``languages``, to a folder of their own; needs
    no root and changes nothing else.

    Raises:
        DataError: there is no apt here, or nothing came; says why.
    """
    if not shutil.which("apt-get"):
        raise DataError("no apt-get here")
    options = {
        "Dir::State::Lists": lists,
        "Dir::Cache": lists.with_name("cache"),
        "Acquire::Languages": ",".join(languages),
        "Acquire::GzipIndexes": "false",
        "Acquire::http::Timeout": 10,
        "Acquire::Retries": 1,
        "APT::Sandbox::User": "root",  # another user could not write there
    }
    given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    for folder in (lists / "partial", lists.with_name("cache")):
        folder.mkdir(parents=True, exist_ok=True)
    command = ["apt-get", "update", "-qq", *given]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"apt-get update: no answer within {TIMEOUT_S:.0f} s") from None
    if not any(lists.glob("*_Packages")):  # apt-get also succeeds where no archive answers
        said = [line for line in done.stderr.splitlines() if line.startswith(("E:", "W:"))]
        why = said[0] if said else f"exit code {done.returncode}, and no list of packages"
        raise DataError(f"apt-get update: {why}")


def descriptions(folder: Path, languages: Sequence[str]) -> dict[str, list[Description]]:
    """What the lists in a folder say of all packages, by language, sorted.

    Raises:
        DataError: there are no lists, a language is missing, or a list is damaged; it is named.
    """
    found = _lists(folder)
    for name in ("Packages", *(f"Translation-{language}" for language in languages)):
        if name not in found:
            raise DataError(f"no list {name} (plain, .gz, .xz or .bz2)")
    packages = {}
    for place in found["Packages"]:
        for stanza in _stanzas(place):
            if stanza.keys() >= {"Package", "Description-md5", "Section"}:
                source = stanza.get("Source", stanza["Package"]).split(" ")[0]  # without a version
                section = stanza["Section"].rpartition("/")[2]
                packages[stanza["Package"], stanza["Description-md5"]] = source, section
    return {
        language: sorted(_of_language(found[f"Translation-{language}"], language, packages))
        for language in languages
    }


def _of_language(
    places: Sequence[Path], language: str, packages: Mapping[tuple[str, str], tuple[str, str]]
) -> set[Description]:
    """Descriptions of the packages as they are; a translation of an earlier one is left out."""
    texts: set[Description] = set()
    for place in places:
        for stanza in _stanzas(place):
            key = stanza.get("Package", ""), stanza.get("Description-md5", "")
            text = stanza.get(f"Description-{language}")
            if text and key in packages:
                texts.add(Description(*key, *packages[key], _plain(text)))
    return texts


def _plain(text: str) -> str:
    """A title, and lines that begin with a space, of which ``.`` is an empty one."""
    lines = (line.strip() for line in text.split("\n"))
    return "\n".join("" if line == "." else line for line in lines)


def _lists(folder: Path) -> dict[str, list[Path]]:
    """Files that are lists by their names, in the order of these."""
    found: dict[str, list[Path]] = {}
    if not folder.is_dir():
        raise DataError("no such folder")
    for place in sorted(path for path in folder.rglob("*") if path.is_file()):
        if named := NAME.fullmatch(unquote(place.name)):  # apt writes pt%5fBR
            found.setdefault(named[1], []).append(place)
    return found


def _stanzas(place: Path) -> Iterator[dict[str, str]]:
    """The fields of each stanza of a list. Raises DataError if it is damaged."""
    named = NAME.fullmatch(unquote(place.name))
    assert named
    try:
        with OPENERS[named[3]](place, "rt", encoding="utf-8") as file:
            content = file.read()
    except DAMAGED as error:
        words = str(error) or type(error).__name__
        raise DataError(f"{place.name}: damaged, or no such list ({words})") from None
    if content and not content.startswith("Package: "):
        raise DataError(f"{place.name}: damaged, or no such list (it begins with no package)")
    for stanza in content.split("\n\n"):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.split("\n"):
            if line[:1] in (" ", "\t"):
                fields[name] = f"{fields.get(name, '')}\n{line}"
            else:
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        yield fields
