"""What `dvc plots` draws: tables and a picture, without measured times, so that runs compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.report import overview


def write_plots(
    out: Path, variants: Sequence[Mapping[str, Any]], devices: Sequence[Mapping[str, Any]]
) -> None:
    """A row a variant, a row a device, and the devices' accuracies."""
    out.mkdir(parents=True, exist_ok=True)
    columns = ["width", "depth", "parameters", "flops", "val_loss", "val_accuracy", "test_accuracy"]
    columns += [name for name in ("refit_loss", "refit_accuracy") if name in variants[0]]
    pd.DataFrame(variants)[columns].to_csv(out / "variants.csv", index=False)
    columns = ["device", "cluster", "params", "accuracy_received", "accuracy_refined"]
    pd.DataFrame(devices)[columns].to_csv(out / "devices.csv", index=False)
    (out / "accuracy.svg").write_text(overview.accuracy(devices))
