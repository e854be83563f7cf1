"""The samples of one owner, as the partition stage left them: one file per owner, so that who
reads which data shows in the code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator, TypeAdapter
from torch import Tensor

from tasks.data.modality import DataInfo, ImageInfo, TextInfo, from_json
from tasks.data.tokens import TOKENIZER
from tasks.run.errors import ArtifactError
from tasks.run.store import Ref, read_tensors, take
from tasks.run.written import names_written, read_written_json

CLOUD = "cloud"
TEST = "test"
UNUSED = "unused"
SPLITS = ("train", "val", TEST)
WORDS = "words"
"""What a device's file of texts calls the words that it keeps (:mod:`tasks.data.words`)."""
PARALLEL = "train_parallel"
"""What the cloud's file calls its train texts in the language that others are translations of."""
WORDS_FILE = "words.json"
WANTED = "wanted"
"""What the file of a device, where it has some, calls the classes that it wants: those that it will
meet and has no samples of to learn from."""


@dataclass(frozen=True)
class Classes:
    """A device's classes, sorted: its ``own``, of its train split, and those that it is to answer
    beside them, ``wanted`` (none: None)."""

    own: Tensor
    wanted: Tensor | None = None

    @property
    def all(self) -> Tensor:
        """What one is told who is told a device's classes."""
        return self.own if self.wanted is None else torch.cat([self.own, self.wanted]).unique()


def _of_kind(values: Any) -> DataInfo:
    """Facts as they were, or as JSON has them (a task's result): of the modality that has these."""
    kinds: Any = ImageInfo | TextInfo
    found: DataInfo = TypeAdapter(kinds).validate_python(values)
    return found


@dataclass(frozen=True)
class World:
    """One partition: its public facts, every owner's samples by name, of texts how many words each
    device keeps, and, for reports (:func:`with_spare`), each device's context and the samples of it
    that nobody was given."""

    info: Annotated[DataInfo, BeforeValidator(_of_kind)]
    samples: dict[str, Ref]
    contexts: Mapping[str, str] = field(default_factory=dict)
    unused: Mapping[str, Ref] = field(default_factory=dict)
    words: Mapping[str, int] = field(default_factory=dict)

    @property
    def cloud(self) -> Ref:
        """The public set."""
        return self.samples[CLOUD]

    @property
    def devices(self) -> dict[str, Ref]:
        """By name, in the order of their ids."""
        return {k: v for k, v in self.samples.items() if k != CLOUD}

    def classes(self, device: str) -> Classes:
        """A device's, without a look at its test split."""
        return classes_of(self.samples[device])


def read_world(folder: Path, devices: Iterable[str]) -> World:
    """The partition that lies in a folder, with the samples of these devices.

    Raises:
        ArtifactError: a file is missing or damaged.
    """
    info, owners = read_info(folder), (CLOUD, *sorted(devices))
    samples = {name: samples_ref(name, folder) for name in owners}
    return World(info, samples, words=read_words(folder, info))


def with_spare(world: World, folder: Path) -> World:
    """The world of a partition's folder, and what nobody but a report may know of it.

    Raises:
        ArtifactError: a file is missing or damaged.
    """
    facts = read_contexts(folder)
    contexts = {
        name: context for name, context in facts["devices"].items() if name in world.samples
    }
    files = {name: unused_name(facts["names"].index(context)) for name, context in contexts.items()}
    written = names_written(folder)
    unused = {n: take("samples", folder, f) for n, f in files.items() if f in written}
    return replace(world, contexts=contexts, unused=unused)


def read_info(folder: Path) -> DataInfo:
    """The public facts that the partition stage wrote."""
    return from_json(read_written_json(folder, "data.json"), str(folder / "data.json"))


def read_words(folder: Path, info: DataInfo) -> dict[str, int]:
    """How many words each device keeps, by name; none where the data are no texts."""
    words = read_written_json(folder, WORDS_FILE) if isinstance(info, TextInfo) else {}
    return {name: int(count) for name, count in words.items()}


def read_content_id(folder: Path) -> str:
    """The content id of the raw data that were divided."""
    return str(read_written_json(folder, "pin.json")["content_id"])


def read_contexts(folder: Path) -> dict[str, Any]:
    """The ``names`` of all contexts, those that are ``public``, each of the ``devices``' by name,
    and whether they are ``synthetic``, as the partition stage wrote them."""
    return dict(read_written_json(folder, "contexts.json"))


def samples_ref(owner: str, folder: Path) -> Ref:
    """The samples of ``owner`` (``cloud`` or a device's name) in a partition's folder."""
    return take("samples", folder, samples_name(owner))


def tokenizer_ref(folder: Path) -> Ref | None:
    """The tokenizer.json by which texts are numbered in a partition's folder; None of other
    data."""
    written = TOKENIZER in names_written(folder)
    return take("tokenizer", folder, TOKENIZER) if written else None


def samples_name(owner: str) -> str:
    """What the samples' file of ``owner`` is called in a partition's folder."""
    return f"samples/{owner}.safetensors"


def unused_name(context: int) -> str:
    """What the file of a context's samples that nobody was given is called there; ``context`` is
    its position."""
    return f"unused/{context}.safetensors"


def as_tensors(
    name: str, raw: Mapping[str, Tensor], labels: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The file layout of one owner: ``<split>_<name>``, by the name that the modality gives raw
    samples (``images``: uint8 (n, c, h, w)), and ``<split>_labels``."""
    named = {f"{split}_{name}": tensor for split, tensor in raw.items()}
    return named | {f"{split}_labels": tensor for split, tensor in labels.items()}


def read_split(ref: Ref, split: str, info: DataInfo) -> tuple[Tensor, Tensor]:
    """One owner's ``train`` or ``val`` split: what backbones take (images standardised) and int64
    labels.

    Raises:
        ArtifactError: the file is missing or damaged, or has no such split.
        ValueError: a split is asked for that :mod:`tasks.report.heldout` alone reads.
    """
    if split in (TEST, UNUSED):
        raise ValueError(f"the {split} split is read by tasks.report.heldout alone")
    return pixels_and_labels(ref, split, info)


def classes_of(ref: Ref) -> Classes:
    """The classes of a device's samples, without a look at its test split."""
    tensors, _ = read_tensors(ref)
    return Classes(tensors["train_labels"].long().unique(), tensors.get(WANTED))


def pixels_and_labels(ref: Ref, split: str, info: DataInfo) -> tuple[Tensor, Tensor]:
    """Any split; for :func:`read_split` and :mod:`tasks.report.heldout`."""
    tensors, _ = read_tensors(ref)
    try:
        raw, labels = tensors[f"{split}_{info.raw}"], tensors[f"{split}_labels"]
    except KeyError:
        raise ArtifactError(
            f"{ref.kind} {ref.sha256[:12]}: no split {split!r}; it has {sorted(tensors)}"
        ) from None
    return info.inputs(raw), labels.long()
