"""Run this folder's model on texts: python run.py TEXT [TEXT ...]

Needs onnxruntime, numpy and tokenizers. What names a file is read from it, a text a line.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent


def main(given: list[str]) -> None:
    manifest = json.loads((HERE / "manifest.json").read_text("utf-8"))
    texts = [text for words in given for text in read(words)]
    if not texts:
        sys.exit("python run.py TEXT [TEXT ...], or FILE with a text a line")
    for name in (manifest["file"], manifest["input"]["tokenizer"]):
        if hashlib.sha256((HERE / name).read_bytes()).hexdigest() != manifest["sha256"][name]:
            sys.exit(f"{name} is damaged: its checksum is not the one in manifest.json")
    import onnxruntime
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(HERE / manifest["input"]["tokenizer"]))
    model = str(HERE / manifest["file"])
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    encoded = tokenizer.encode_batch(texts)
    fed = {
        "ids": np.array([e.ids for e in encoded], np.int64),
        "mask": np.array([e.attention_mask for e in encoded], np.int64),
    }
    [logits] = session.run(None, fed)
    for text, shares in zip(texts, softmax(logits), strict=True):
        best = int(shares.argmax())
        print(f"{text}: {manifest['classes'][best]} ({shares[best]:.3f})")


def read(words: str) -> Iterator[str]:
    """The texts of a file, without empty lines, or else the words themselves."""
    if not os.path.isfile(words):
        yield words
        return
    try:
        lines = Path(words).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(f"{words}: cannot read: {error}")
    yield from (line.strip() for line in lines if line.strip())


def softmax(logits: NDArray) -> NDArray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


if __name__ == "__main__":
    main(sys.argv[1:])
