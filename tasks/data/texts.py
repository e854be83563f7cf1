"""Raw texts as the partition's files hold them: tokens, of a device by the words that it keeps."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from tasks.data.encoder import FOLDER as ENCODER
from tasks.data.modality import TextInfo
from tasks.data.raw import Divided, Raw, taken
from tasks.data.samples import CLOUD, PARALLEL, WORDS, WORDS_FILE
from tasks.data.tokens import TOKENIZER, first_letter, pieces_of, tokenizer_in
from tasks.data.words import Words, always, numbers_by, words_of
from tasks.run.files import atomic_write, sha256_of, write_json

SUMS = "encoder.json"
"""What the partition says of the encoder's files."""


class RawTexts(Raw):
    """int32 numbers of tokens ``(n, length)``."""

    name = TextInfo.raw

    def __init__(self, divided: Divided) -> None:
        self.divided = divided
        self.folder = divided.spec.folder
        self.tokenizer = tokenizer_in(self.folder, divided.spec.length)
        public = divided.public
        self.public = {
            str(context): words_of(self.tokenizer.numbers(divided.take(rows)))
            for context, rows in public.groupby("context")
        }
        self.common = words_of(always(self.tokenizer), *self._everywhere)
        devices = divided.manifest[divided.manifest["tier"] == "device"]
        self.words = {
            str(name): self._words(str(name), rows) for name, rows in devices.groupby("owner")
        }

    @property
    def _everywhere(self) -> list[Words]:
        """Words of the public texts that every device keeps: those of the language that others are
        translations of, or else of all."""
        pivot = self._pivot
        return [self.public[pivot]] if pivot in self.public else [*self.public.values()]

    @property
    def _pivot(self) -> str | None:
        at = self.divided.data.pivot
        return None if at is None else self.divided.contexts.names[at]

    def _words(self, device: str, rows: pd.DataFrame) -> Words:
        """What a device keeps: what its context's do, and words of what it shares."""
        manifest = self.divided.manifest
        shared = self.divided.take(manifest[manifest["shared_by"] == device])
        context = str(rows["context"].iloc[0])
        return words_of(self._of_context(context), self.tokenizer.numbers(shared))

    def _of_context(self, context: str) -> Words:
        return words_of(self.common, *([self.public[context]] if context in self.public else []))

    @property
    def info(self) -> TextInfo:
        return TextInfo(
            source=self.divided.spec.source,
            classes=self.divided.data.classes,
            contexts=self.divided.contexts.names,
            length=self.tokenizer.length,
            vocabulary=self.tokenizer.vocabulary,
            pad=self.tokenizer.pad,
            pivot=self._pivot,
            letters=first_letter(pieces_of(self.tokenizer.content, self.folder)),
        )

    def of(self, rows: pd.DataFrame, owner: str) -> Tensor:
        texts = self.divided.take(rows)
        if owner == CLOUD:
            return torch.from_numpy(self.tokenizer.numbers(texts))
        return torch.from_numpy(numbers_by(self.words[owner], self.tokenizer, texts))

    def spare(self, rows: pd.DataFrame) -> Tensor:
        """By the words that all devices of the context keep."""
        words = self._of_context(str(rows["context"].iloc[0]))
        return torch.from_numpy(numbers_by(words, self.tokenizer, self.divided.take(rows)))

    def beside(self, owner: str, train: pd.DataFrame) -> dict[str, Tensor]:
        if owner != CLOUD:
            return {WORDS: torch.from_numpy(self.words[owner])}
        parallel = self.divided.data.train_parallel
        if parallel is None:
            return {}
        texts = taken({"train": parallel}, train)
        return {PARALLEL: torch.from_numpy(self.tokenizer.numbers(texts))}

    def write(self, out: Path) -> list[str]:
        """The tokenizer; how many words each device keeps; and of which content the encoder is,
        since its weights stay where they lie."""
        atomic_write(out / TOKENIZER, self.tokenizer.content.encode())
        write_json(out / WORDS_FILE, {name: len(words) for name, words in self.words.items()})
        files = sorted(path for path in (self.folder / ENCODER).rglob("*") if path.is_file())
        sums = {
            path.relative_to(self.folder / ENCODER).as_posix(): sha256_of(path) for path in files
        }
        write_json(out / SUMS, sums)
        return [TOKENIZER, SUMS, WORDS_FILE]
