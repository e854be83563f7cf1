"""A small model of texts as the pipeline ships it, with what it was cut from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from models.answers import Restricted, silent
from models.backbone.config import build
from models.backbone.families.bert import BertConfig
from models.customized import customized
from models.header.build import build_header, state_of
from models.header.config import HeaderConfig
from tasks.data.modality import TextInfo
from tasks.data.tokens import Tokenizer
from tasks.data.words import always, numbers_by, words_of
from tasks.delivery.shipped import Made, ship
from tasks.delivery.tokenizer import Words
from tasks.links.records import State
from tasks.run.store import Ref, put, put_tensors
from tests.encoders import tiny_tokenizer
from tests.texts import TOPICS, sentence, texts

LENGTH = 16


@dataclass(frozen=True)
class ShippedTexts:
    """``model`` is in ``file``; ``whole`` maps the same texts, numbered as in ``samples``, to the
    same logits. ``written`` are the texts."""

    file: Path
    model: nn.Module
    whole: nn.Module
    info: TextInfo
    samples: Ref
    tokenizer: Ref
    written: list[str]


def shipped_texts(folder: Path) -> ShippedTexts:
    """Write such a model into a folder: a random BERT whose words are of English and German, of
    which it keeps those of some German texts. What it is asked is German and Italian."""
    known = texts(("en", "de"))["text"]
    count = tiny_tokenizer(folder / "encoder", known)
    content = (folder / "encoder/tokenizer.json").read_text()
    whole = Tokenizer(content, LENGTH, 0, count)
    written = [
        sentence(topic, language, number)
        for number in range(4)
        for language in ("de", "it")
        for topic in TOPICS
    ]
    words = words_of(always(whole), whole.numbers(known[-20:]))
    raw = numbers_by(words, whole, written)
    torch.manual_seed(0)
    info = TextInfo("manifest", (*TOPICS,), LENGTH, count, 0, contexts=("en", "de", "it"))
    vit = build(
        BertConfig(
            classes=4, dim=16, depth=2, heads=2, head_dim=8, mlp_hidden=24, vocabulary=count,
            length=LENGTH,
        )
    )  # fmt: skip
    nn.init.normal_(vit.words.weight, std=0.5)
    config = HeaderConfig("mlp", dim=16, shape=(LENGTH - 1,), classes=4, channels=4, hidden=8)
    header = build_header(config).eval()
    answers = torch.tensor([0, 1, 3])
    both = customized(vit, Restricted(header, silent(answers, 4)), nn.Identity())
    ref = put_tensors("header", state_of(header), config.to_dict())
    state = State("device-00", 1, ref, 0, 0, 0, 0.0, 0.0)
    labels = torch.from_numpy(np.arange(len(written)) % 4)
    kept = Words(torch.from_numpy(words), content)
    tensors = {"val_tokens": torch.from_numpy(raw), "val_labels": labels, "words": kept.numbers}
    samples = put_tensors("samples", tensors)
    model, file = ship(folder / "shipped", Made(vit, state, answers), info, kept)
    return ShippedTexts(
        file, model, both, info, samples, put("tokenizer", content.encode()), written
    )
