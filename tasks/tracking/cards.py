"""Model cards: what the registry says of a model, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.data.modality import DataInfo, of_images
from tasks.links.records import Match
from tasks.report.classes import mistakes
from tasks.tracking.candidates import Lineage

Row = Mapping[str, Any]
USE = """```python
import mlflow, torch

mlflow.set_tracking_uri({uri!r})
model = mlflow.pytorch.load_model("models:/{name}@champion")
pixels = torch.rand(2, {channels}, {size}, {size})  # your images, float32 in 0..1
with torch.no_grad():
    logits = model(pixels)
```

It is a `torch.export` program, which is always in evaluation mode: `model.eval()` and
`model.train()` raise, and nothing needs them. For a module that has both, where ACME is installed:

```python
from pathlib import Path
from mlflow.artifacts import download_artifacts
from tasks.delivery.shipped import load_shipped

folder = Path(download_artifacts("models:/{name}@champion"))
module = load_shipped(folder / "extra_files/model.safetensors").eval()
```
"""
MADE = " (synthetic: a sensor made it of other images)"
INPUT = "float32 pixels in 0..1, `(n, {channels}, {size}, {size})`; the output is logits"


def how_to_use(name: str, uri: str, info: DataInfo) -> str:
    """Code that takes the champion of a device's registered model out of a store and runs it."""
    image = of_images(info)
    return USE.format(name=name, uri=uri, channels=image.channels, size=image.image_size)


def device(row: Row, links: Mapping[str, str], lineage: Lineage, info: DataInfo) -> str:
    """The card of a device's model."""
    return "\n".join(
        [
            f"**Model of {row['device']}** in cluster {row['cluster']}: backbone of width "
            f"{row['width']} and depth {row['depth']}, header `{row['header']}`.",
            "",
            "| | |",
            "|---|---|",
            f"| accuracy on the device's own test split | {row['accuracy_refined']:.3f} |",
            f"| the same, as received | {row['accuracy_received']:.3f} |",
            "| received, answers limited to the device's classes | "
            f"{row['accuracy_received_own_classes']:.3f} |",
            f"| what it takes for what, most often | {_mistakes(row)} |",
            f"| parameters | {row['params']:,} of at most {row['storage_limit']:,} |",
            f"| bytes on disk | {row['bytes']:,} |",
            f"| modelled energy (Eq. 1, backbone alone) | {row['modelled_energy_joule']:.0f} J |",
            f"| measured latency | {row['latency_s']:.4f} s ({lineage.measured_on}) |",
            f"| intended data | {lineage.source}, as this device sees it |",
            f"| context | {row['context']}{MADE if info.synthetic_contexts else ''} |",
            f"| classes that the device has | {', '.join(row['classes'])} |",
            f"| classes that it may answer | {', '.join(info.classes)} |",
            f"| input | {_input(info)} |",
            f"| reference that it is cut from | {lineage.reference or 'not said'} |",
            f"| data hash, git commit | `{lineage.data_id}`, `{lineage.git_commit}` |",
            "",
            "Comes from: " + _joined(links),
        ]
    )


def backbone(
    match: Match, winner: Row, links: Mapping[str, str], lineage: Lineage, info: DataInfo
) -> str:
    """The card of a cluster's backbone."""
    return "\n".join(
        [
            f"**Backbone of cluster {match.edge}** with its reference header: width {match.width}, "
            f"depth {match.depth}, {winner['backbone_parameters']:,} parameters of at most "
            f"{match.limit:,}; modelled energy (Eq. 1) {winner['modelled_energy_joule']:.0f} J.",
            "",
            f"Input: {_input(info)}. Classes: {', '.join(info.classes)}.",
            "",
            f"Cut from a reference: {lineage.reference or 'not said'}.",
            "",
            "Comes from: " + _joined(links),
        ]
    )


def _mistakes(row: Row) -> str:
    return ", ".join(m.words for m in mistakes(row["confusion"])) or "nothing on that split"


def _input(info: DataInfo) -> str:
    image = of_images(info)
    return INPUT.format(channels=image.channels, size=image.image_size)


def _joined(links: Mapping[str, str]) -> str:
    return ", ".join(f"[{words}]({where})" for words, where in links.items())
