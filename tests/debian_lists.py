"""Lists of packages as Debian's archive has them, made up: a few packages of each section, of each
source two, in all languages."""

from __future__ import annotations

import gzip
import hashlib
import lzma
from collections.abc import Sequence
from pathlib import Path

from tasks.data.sources.package_descriptions import CLASSES, LANGUAGES

ABOUT = "deb.example.org_debian_dists_stable_main_"
SECTIONS = (*CLASSES, "web")


def write_lists(folder: Path, sources: int = 4, languages: Sequence[str] = LANGUAGES) -> Path:
    """The folder, with ``Packages`` (xz) and a ``Translation`` (plain, or gzip) a language. The
    last source of each section is not translated; ``libs`` has one more package, whose translation
    into German is of an older description."""
    folder.mkdir(parents=True, exist_ok=True)
    packages, texts = [], {language: [] for language in languages}
    for at, section in enumerate(SECTIONS):
        for number in range(sources):
            for part in ("", "-doc"):
                name = f"{section}{number}{part}"
                english = text(name, section, "en")
                md5 = hashlib.md5(english.encode()).hexdigest()
                source = f"Source: {section}{number} (1.{number})\n" if part else ""
                area = "contrib/" if at % 2 else ""
                packages.append(
                    f"Package: {name}\n{source}Version: 1\nArchitecture: all\n"
                    f"Description: {english.partition(chr(10))[0]}\n"
                    f"Tag: a::b,\n c::d\nSection: {area}{section}\nDescription-md5: {md5}\n"
                )
                for language in languages if number < sources - 1 else ["en"]:
                    texts[language].append(
                        stanza(name, md5, language, text(name, section, language))
                    )
    texts["de" if "de" in texts else "en"].append(stanza("libs0", "0" * 32, "de", "alt"))
    index = "\n".join(packages).encode()
    (folder / f"{ABOUT}binary-amd64_Packages.xz").write_bytes(lzma.compress(index))
    for language, stanzas in texts.items():
        name, payload = f"{ABOUT}i18n_Translation-{language}", "\n".join(stanzas).encode()
        if language == "fr":
            (folder / f"{name}.gz").write_bytes(gzip.compress(payload))
        else:
            (folder / name.replace("pt_BR", "pt%5fBR")).write_bytes(payload)
    return folder


def stanza(name: str, md5: str, language: str, text: str) -> str:
    return f"Package: {name}\nDescription-md5: {md5}\nDescription-{language}: {text}\n"


def text(name: str, section: str, language: str) -> str:
    """A title, and two paragraphs below it."""
    return (
        f"{name}: {section} ({language})\n Für {section} = {language} =\n ウィンドウ.\n .\n Ende."
    )
