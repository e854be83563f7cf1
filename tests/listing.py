"""A manifest of scikit-learn's digits, as a user might write one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tasks.experiments.second import write_digits


def write_listing(folder: Path, devices: int = 4, of_class: int | None = None) -> pd.DataFrame:
    """The digits (``of_class`` of each, or all) as images below ``folder``, and what is known of
    each: the path, the label, the context (``day``; ``night`` of odd devices), and whose it is
    (each device has fifteen images of three classes each) or, of most, that it is nobody's."""
    write_digits(folder / "images")
    rows = []
    for label in range(10):
        files = sorted((folder / f"images/{label}").glob("*.png"))
        for path in files[of_class:] if of_class else ():
            path.unlink()
        for at, path in enumerate(files[:of_class]):
            device = at // 15 if at // 15 < devices else None
            mine = device is not None and (label - 2 * device) % 10 < 3
            rows.append(
                {
                    "path": path.relative_to(folder).as_posix(),
                    "label": f"{label:02d}",
                    "context": "night" if mine and device % 2 else "day",
                    "device": f"device-{device:02d}" if mine else None,
                }
            )
    return pd.DataFrame(rows)
