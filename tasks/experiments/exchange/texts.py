"""The texts of ``languages``: those of the case that `make run-text` makes, where it is there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.data import encoder, pin, sources
from tasks.run.errors import AcmeError, DataError
from tasks.run.store import Store
from tasks.settings.case import Case
from tasks.settings.params import merged
from tasks.setup.defaults import whole_of

SOURCE, CASE = "package-descriptions", "text"


def languages_of(overlay: Mapping[str, Any]) -> dict[str, Any]:
    """What ``acme init`` writes of the source, with ``overlay`` on top; where that names no folder,
    with the texts and the encoder of the case, or, where there is no case, of a folder of
    their own, fetched.

    Raises:
        DataError: they cannot be fetched, or are not what the case pins.
    """
    values = merged(whole_of(SOURCE) or {}, merged({"data": {"source": SOURCE}}, overlay))
    if "folder" in overlay.get("data", {}):
        return values
    folder = texts_folder(values["data"]["encoder"])
    return merged(values, {"data": {"folder": str(folder)}})


def texts_folder(encoder_name: str) -> Path:
    """Where the texts and their encoder lie. Raises DataError as :func:`languages_of`."""
    case = Case.here().sibling(CASE)
    own = case.folder / "data"
    if own.is_dir() and case.pin.is_file():
        pin.verify(own, case.pin)
        return own
    folder = own if own.is_dir() else Store.here().folder.with_name(SOURCE)
    try:
        sources.fetch(SOURCE, folder)
        encoder.fetch(encoder_name, folder)
    except AcmeError as error:
        made = f"acme --case {CASE} init --source {SOURCE} --yes && acme --case {CASE} data fetch"
        raise DataError(f"{error}. Or, where they can be had: {made}") from None
    return folder
