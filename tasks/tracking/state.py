"""What is opened of a registered version: its safetensors state, and nothing else.

A version may have been registered by anybody, and MLflow's loaders run what is in it (a pickle, a
module that ``MLmodel`` names, torch.export's archive).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tasks.data.tokens import TOKENIZER
from tasks.run.errors import RegistryError
from tasks.run.files import sha256_of
from tasks.tracking.logged import WRITTEN
from tasks.tracking.registry import MODELS, Version


def state_file(version: Version, folder: Path) -> Path:
    """Bring a version's safetensors state, with its configuration inside, into ``folder``, and a
    tokenizer beside it, whose hash the state knows. Nothing else of the version is brought or
    opened. (From MLflow's current store, which
    :func:`tasks.tracking.store.connect` names.)

    Raises:
        RegistryError: it holds what we never write, or not one state, or another state than the one
            that was registered.
    """
    from mlflow.artifacts import download_artifacts

    where, uri = (
        f"{version.name} version {version.number}",
        f"{MODELS}{version.name}/{version.number}",
    )
    files = sorted(_files(uri))
    foreign = [name for name in files if not WRITTEN.fullmatch(name)]
    if foreign:
        raise RegistryError(
            f"{where} holds {foreign[0]}, which acme never writes and which may run code: "
            "it is not opened. Delete the version"
        )
    states = [name for name in files if name.endswith(".safetensors")]
    if len(states) != 1:
        raise RegistryError(
            f"{where} holds {len(states)} safetensors states, not one: it is not opened. "
            "Delete the version, and register models by acme run"
        )
    beside = [name for name in files if name.endswith(f"/{TOKENIZER}")]
    *_, found = (
        Path(download_artifacts(f"{uri}/{name}", dst_path=str(folder)))
        for name in (*beside, states[0])
    )
    if sha256_of(found) != version.sha256:
        raise RegistryError(
            f"{where}: {states[0]} is not the file that was registered (its tag sha256 is "
            "another): it is not opened. Delete the version, or roll back"
        )
    return found


def _files(uri: str, below: str = "") -> Iterator[str]:
    """The names of all files of a version, from its folder on."""
    from mlflow.artifacts import list_artifacts

    for found in list_artifacts(f"{uri}/{below}" if below else uri):
        if found.is_dir:
            yield from _files(uri, found.path)
        else:
            yield found.path
