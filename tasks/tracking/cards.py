"""Model cards: what the registry says of a model, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tasks.data.modality import DataInfo, of_texts
from tasks.links.records import Match
from tasks.report.classes import mistakes
from tasks.tracking.candidates import Lineage

Row = Mapping[str, Any]
TAKEN = {
    "image": """```python
import mlflow, torch

mlflow.set_tracking_uri({uri!r})
model = mlflow.pytorch.load_model("models:/{name}@champion")
inputs = torch.rand(2, *{shape})  # your images, float32 in 0..1
with torch.no_grad():
    logits = model(inputs)
```
""",
    "text": """```python
from pathlib import Path

import mlflow, torch
from mlflow.artifacts import download_artifacts
from tokenizers import Tokenizer

mlflow.set_tracking_uri({uri!r})
model = mlflow.pytorch.load_model("models:/{name}@champion")
folder = Path(download_artifacts("models:/{name}@champion"))
tokenizer = Tokenizer.from_file(str(folder / "extra_files/tokenizer.json"))
texts = ["a text of yours", "another"]
inputs = torch.tensor([found.ids for found in tokenizer.encode_batch(texts)])
with torch.no_grad():
    logits = model(inputs)
```
""",
}
"""By modality, code that takes a device's champion out of the registry and asks it."""
REBUILT = """
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


def how_to_use(name: str, uri: str, info: DataInfo) -> str:
    """Code that takes the champion of a device's registered model out of a store and runs it."""
    use = TAKEN[info.modality] + REBUILT
    return use.format(name=name, uri=uri, shape=info.shape)


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
            *_words(row, info),
            f"| bytes on disk | {row['bytes']:,} |",
            f"| modelled energy (Eq. 1, backbone alone) | {row['modelled_energy_joule']:.0f} J |",
            f"| measured latency | {row['latency_s']:.4f} s ({lineage.measured_on}) |",
            f"| intended data | {lineage.source}, as this device sees it |",
            f"| context | {row['context']}{MADE if info.synthetic_contexts else ''} |",
            f"| classes that the device has samples of | {', '.join(row['classes'])} |",
            *_wanted(row),
            f"| classes that it answers | {', '.join(_answers(row, info))} |",
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


def _words(row: Row, info: DataInfo) -> list[str]:
    """What a model keeps of the vocabulary of texts; no line of other data."""
    if "words" not in row:
        return []
    kept, known = row["words"], of_texts(info).vocabulary
    return [f"| words and pieces that it keeps | {kept:,} of {known:,}, among the parameters |"]


def _wanted(row: Row) -> list[str]:
    """The classes that a device only expects, and of which peers it knows them where that is said;
    no lines where it expects none."""
    if not row.get("wanted"):
        return []
    peers = row.get("known_from", {})
    expected = [
        f"{name} (from {', '.join(peers[name])})" if peers.get(name) else name
        for name in row["wanted"]
    ]
    lines = [f"| classes that it only expects, without a sample of them | {', '.join(expected)} |"]
    if "accuracy_refined_wanted" in row:
        lines += [
            f"| accuracy on these alone, {row['wanted_test_samples']} test samples | "
            f"{row['accuracy_refined_wanted']:.3f} |",
            f"| the same, received | {row['accuracy_received_wanted']:.3f} |",
        ]
    return lines


def _answers(row: Row, info: DataInfo) -> Iterable[str]:
    if row["answers"] == "all":
        return info.classes
    expected = row.get("wanted", ()) if row["answers"] == "wanted" else ()
    return [name for name in info.classes if name in {*row["classes"], *expected}]


def _mistakes(row: Row) -> str:
    return ", ".join(m.words for m in mistakes(row["confusion"])) or "nothing on that split"


def _input(info: DataInfo) -> str:
    shape = ", ".join(["n", *map(str, info.shape)])
    return f"{info.takes}, here `({shape})`; the output is logits"


def _joined(links: Mapping[str, str]) -> str:
    return ", ".join(f"[{words}]({where})" for words, where in links.items())
