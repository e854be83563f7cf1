"""The picture of a fleet, of one seed and of several."""

from __future__ import annotations

import pandas as pd
import pytest

from tasks.experiments.fleet.picture import SHOWN, fleet


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_fleet_is_drawn_of_any_number_of_seeds(seeds: int) -> None:
    columns = [column for column, *_ in SHOWN]
    frame = pd.DataFrame(
        {
            "seed": seed,
            "device": f"device-{device:02d}",
            "cluster": "edge-0",
            "context": ("day", "night")[device],
            "test_samples": 100,
            **{column: 0.1 * at + 0.2 * device + 0.01 * seed for at, column in enumerate(columns)},
        }
        for seed in range(seeds)
        for device in range(2)
    )
    [axes] = fleet(frame).axes
    drawn = [line.get_xdata().tolist() for line, *_ in axes.containers]
    means = frame.groupby("device")[columns].mean()
    assert drawn == [pytest.approx(means[column].tolist()) for column in columns]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["device-00  (day)", "device-01  (night)"]
