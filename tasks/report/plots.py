"""What `dvc plots` draws: tables and a picture, without measured times, so that runs compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.report import figures

PLOTS = Path("artifacts/plots")


def write_plots(variants: Sequence[dict[str, Any]], devices: Sequence[dict[str, Any]]) -> None:
    """A row a variant, a row a device, and the devices' accuracies."""
    PLOTS.mkdir(parents=True, exist_ok=True)
    columns = ["width", "depth", "parameters", "flops", "val_loss", "val_accuracy", "test_accuracy"]
    pd.DataFrame(variants)[columns].to_csv(PLOTS / "variants.csv", index=False)
    columns = ["device", "cluster", "params", "accuracy_received", "accuracy_refined"]
    pd.DataFrame(devices)[columns].to_csv(PLOTS / "devices.csv", index=False)
    (PLOTS / "accuracy.svg").write_text(figures.accuracy(devices))
