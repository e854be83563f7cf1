"""A tiny encoder of texts with random weights, and the words that it knows."""

from __future__ import annotations

import string
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LETTERS = f"{string.ascii_lowercase}{string.digits}{string.punctuation}äöüßéèàçñ"
KANA = "".join(chr(code) for code in range(0x3041, 0x30FF))
PIECES = ("the", "of", "and", "der", "und", "le", "et", "##ing", "##er", "##s", "##en", "##tion")


def tiny_encoder(folder: Path, texts: Iterable[str] = (), **changes: Any) -> Path:
    """Write a BERT of 3 layers, 32 dimensions and 4 heads, as a hub's folder holds one. Its
    vocabulary has the letters of German, English, French and Japanese syllables, some pieces, and
    all words and characters of ``texts``.

    Args:
        changes: to transformers' BertConfig.
    """
    from transformers import BertConfig, BertModel

    vocabulary = tiny_tokenizer(folder, texts)
    values = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "initializer_range": 0.2,  # at .02 layers of so few dimensions pass nothing on
        **changes,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        bert = BertModel(BertConfig(**values))
        with torch.no_grad():
            for parameter in bert.parameters():  # biases and norms are not at their start
                parameter += 0.05 * torch.randn(parameter.shape)
    bert.save_pretrained(folder)
    return folder


def tiny_tokenizer(folder: Path, texts: Iterable[str] = ()) -> int:
    """Write its tokenizer.json; returns how many words that has."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    normalizer = normalizers.BertNormalizer(lowercase=True)
    split = pre_tokenizers.BertPreTokenizer()
    words = [w for text in texts for w, _ in split.pre_tokenize_str(normalizer.normalize_str(text))]
    letters = dict.fromkeys((*LETTERS, *KANA, *(c for word in words for c in word)))
    known = dict.fromkeys((*SPECIAL, *letters, *(f"##{c}" for c in letters), *PIECES, *words))
    vocabulary = {word: number for number, word in enumerate(known)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, split
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return len(vocabulary)
