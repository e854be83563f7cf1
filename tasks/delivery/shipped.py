"""The model that a device runs: made of its parts, written as one file, and rebuilt from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from models.answers import Restricted, silent
from models.backbone.config import config_from, on_meta
from models.backbone.family import Backbone
from models.backbone.size import backbone_parameters
from models.backbone.slicing import trimmed
from models.customized import customized, standalone
from models.header.build import HeaderConfig, restore, slim
from models.standardise import Standardise
from tasks.data.modality import DataInfo
from tasks.data.tokens import TOKENIZER
from tasks.delivery.tokenizer import (
    Words,
    own_tokenizer,
    read_tokenizer,
    renumbered,
    sha256,
    texts_as_inputs,
)
from tasks.links.records import State
from tasks.run.errors import ArtifactError
from tasks.run.files import atomic_write, write_json
from tasks.run.modules import load_backbone
from tasks.run.store import Ref, encode, read_tensors


@dataclass(frozen=True)
class Made:
    """What a device's model is made of: its cluster's backbone, its header, and the classes that it
    answers (None: all)."""

    backbone: Backbone
    state: State
    answers: Tensor | None


def ship(
    folder: Path, made: Made, info: DataInfo, words: Words | None = None
) -> tuple[nn.Module, Path]:
    """A device's model without its removed neurons, and its safetensors file in ``folder`` with
    the configuration that rebuilds it.

    Args:
        words: of a model of texts, all that it keeps of the backbone's; their tokenizer lies beside
            it then.
    """
    tensors, values = read_tensors(made.state.header)
    config, answers = HeaderConfig.from_dict(values), torch.arange(len(info.classes))
    header = slim(restore(config, tensors), config)
    if made.answers is not None:
        header = Restricted(header, silent(made.answers, len(answers)))
        answers = made.answers
    vit = made.backbone if words is None else trimmed(made.backbone, words.numbers)
    backbone = vit.config.to_dict()
    model = customized(vit, header, info.prepare())
    description = {
        "backbone": backbone,
        "header": config.to_dict(),
        "classes": list(info.classes),
        "answers": [info.classes[at] for at in answers.tolist()],
        "input": info.takes,
    }
    if words is not None:
        tokenizer = own_tokenizer(words, info)
        description[TOKENIZER] = sha256(tokenizer)
        atomic_write(folder / TOKENIZER, tokenizer.encode())
    file = folder / "model.safetensors"
    atomic_write(file, encode(model.state_dict(), description))
    write_json(folder / "config.json", description)
    return model, file


def load_shipped(file: Path) -> nn.Module:
    """The model that :func:`ship` left, from its file alone.

    Raises:
        ArtifactError: the file is damaged, or describes another model than its weights are of.
    """
    tensors, values = read_tensors(file)
    with _understood(file):
        vit = on_meta(config_from(values["backbone"])).to_empty(device="cpu")
        header = _header(HeaderConfig.from_dict(values["header"]), tensors)
        model = customized(vit, header, _prepare(tensors))
        model.load_state_dict(tensors)
    return model


def load_registered(file: Path, info: DataInfo) -> nn.Module:
    """The model of a registered version's state: a device's, or a cluster's backbone with its
    reference header; inputs of :meth:`DataInfo.shipped` to logits.

    Raises:
        ArtifactError: as :func:`load_shipped`.
    """
    _, values = read_tensors(file)
    if "backbone" in values:
        return load_shipped(file)
    with _understood(file):
        return standalone(load_backbone(file), info.prepare())


def unshipped(file: Path, rows: int | None) -> int:
    """Parameters of a cluster's backbone that none of its devices ships: rows of words beyond the
    most, ``rows``, that one keeps. 0 of a device's model, or where nothing is told."""
    _, values = read_tensors(file)
    if rows is None or "backbone" in values:
        return 0
    config = config_from(values)
    return backbone_parameters(config) - backbone_parameters(config.with_vocabulary(rows))


def inputs_of(file: Path, raw: Tensor, info: DataInfo, whole: Ref | None) -> Tensor:
    """Raw samples as the model of a state file takes them; ``whole`` is the tokenizer by which raw
    texts are numbered.

    Raises:
        ArtifactError: its tokenizer is missing, another, or of another encoder.
    """
    own = read_tokenizer(file)
    return info.shipped(raw) if own is None or whole is None else renumbered(raw, own, whole, info)


def example_of(file: Path, info: DataInfo, count: int = 2) -> Tensor:
    """Made-up inputs of the model of a state file. Raises ArtifactError as :func:`inputs_of`."""
    own = read_tokenizer(file)
    if own is None:
        return info.example(count)
    return texts_as_inputs([info.classes[at % len(info.classes)] for at in range(count)], own)


def _header(config: HeaderConfig, tensors: Mapping[str, Tensor]) -> nn.Module:
    """The last part of a model with these tensors; one that answers some classes only says which
    not."""
    own = {k.removeprefix("2."): v for k, v in tensors.items() if k.startswith("2.")}
    unanswered = own.pop("silent", None)
    if unanswered is None:
        return restore(config, own)
    inner = {k.removeprefix("header."): v for k, v in own.items()}
    return Restricted(restore(config, inner), unanswered)


def _prepare(tensors: dict[str, Tensor]) -> nn.Module:
    """The first part of a model with these tensors: what standardises pixels has some."""
    if "0.mean" not in tensors:
        return nn.Identity()
    channels = len(tensors["0.mean"].flatten())
    return Standardise([0.0] * channels, [1.0] * channels)


@contextmanager
def _understood(file: Path) -> Iterator[None]:
    """What goes wrong here is the file's fault: it was not written by this project."""
    try:
        yield
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        words = " ".join(str(error).split())[:300]
        raise ArtifactError(f"{file.name}: no model of ours: {words}") from None
