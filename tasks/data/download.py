"""Files from the network, by pooch: with a time limit, tried again, and only as published."""

from __future__ import annotations

from pathlib import Path

from tasks.run.errors import DataError

TIMEOUT_S = 5.0  # without an answer
RETRIES = 2
FAILURES = (OSError, ValueError, DataError)
"""What a place that does not have a file may answer with."""


def download(url: str, md5: str, folder: Path) -> Path:
    """The file behind ``url``, in ``folder``.

    Raises:
        OSError: nobody answers (requests' errors are of this kind).
        ValueError: it is another file.
    """
    import pooch

    pooch.get_logger().setLevel("ERROR")
    base, _, name = url.rpartition("/")
    place = pooch.create(folder, f"{base}/", registry={name: f"md5:{md5}"}, retry_if_failed=RETRIES)
    return Path(place.fetch(name, downloader=pooch.HTTPDownloader(timeout=TIMEOUT_S)))
