"""Texts, divided: tokens by the words that each owner has, and nothing of one owner at another."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torch import Tensor

from tasks.data import sources
from tasks.data.dataset import Dataset, Wanted, texts_of
from tasks.data.modality import TextInfo
from tasks.data.partitioning import divide
from tasks.data.samples import read_world, samples_name, unused_name
from tasks.data.tokens import tokenizer_in
from tasks.data.words import always
from tasks.run.store import read_tensors
from tasks.settings.params import Settings, merged
from tasks.setup.texts import words_kept
from tests.texts import TOPICS, sentence, text_params, texts, write_texts, write_tokenizer

DEVICES = [f"device-{at:02d}" for at in range(4)]
KNOWN = [
    sentence(topic, language, number)
    for topic in TOPICS
    for language in ("en", "de", "fr", "it")
    for number in range(60)
]


def settings_of(**overlay: Any) -> Settings:
    return Settings.model_validate(merged(text_params(), overlay))


def tensors_in(folder: Path, name: str) -> Mapping[str, Tensor]:
    return read_tensors(folder / name)[0]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working folder has a manifest of texts and a tokenizer."""
    root = tmp_path_factory.mktemp("texts")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_tokenizer(Path("data/encoder"), KNOWN)
        write_texts(Path("data"))
        yield root


@pytest.fixture(scope="module")
def brought(here: Path) -> Path:
    """A partition in which devices bring their texts."""
    divide(settings_of(), "content", here / "brought", here / "report")
    return here / "brought"


def test_texts_of_a_manifest_are_divided(here: Path, brought: Path) -> None:
    listed = write_texts(Path("data"))
    manifest = pd.read_parquet(brought / "manifest.parquet")
    world = read_world(brought, DEVICES)
    info = world.info
    assert isinstance(info, TextInfo)
    assert (info.classes, info.contexts) == (tuple(TOPICS), ("de", "en", "it"))
    assert (info.length, info.pad, info.pivot) == (12, 0, None)
    whole = tokenizer_in(Path("data"), 12)
    kept: dict[str, set[int]] = {}
    for device in DEVICES:
        tensors = tensors_in(brought, samples_name(device))
        kept[device] = set(tensors["words"].tolist())
        assert sorted(kept[device]) == tensors["words"].tolist()
        assert world.words[device] == len(kept[device]) < info.vocabulary
        rows = manifest[manifest["owner"] == device]
        mine = listed[listed["device"] == device]
        assert len(rows) == len(mine) == sum(len(tensors[f"{s}_labels"]) for s in SPLITS)
        for split in SPLITS:
            tokens = tensors[f"{split}_tokens"]
            assert tokens.shape == (len(tensors[f"{split}_labels"]), 12)
            assert set(tokens.flatten().tolist()) <= kept[device]
            assert info.shipped(tokens, tensors["words"]).max() < len(kept[device])
    cloud = tensors_in(brought, samples_name("cloud"))
    public = set(np.unique(cloud["train_tokens"]).tolist())
    always_kept = set(always(whole).tolist())
    # nothing is shared, and no language of theirs is public
    assert kept[DEVICES[0]] == kept[DEVICES[2]] == public | always_kept
    assert not {"train_parallel", "words"} & set(cloud)
    expected = set(map(tuple, whole.numbers(listed.loc[listed["device"].isna(), "text"]).tolist()))
    assert set(map(tuple, cloud["train_tokens"].tolist())) <= expected
    assert (brought / "tokenizer.json").read_text() == whole.content
    assert world.words == words_kept(settings_of())


SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def dealt(here: Path) -> Path:
    """A partition in which texts in four languages are dealt out to devices, which share some; two
    languages are public, and the others translations of one of these."""
    languages = ("de", "en", "fr", "it")

    def read(source: str, folder: Path, wanted: Wanted) -> Dataset:
        frame = texts(languages, 60)
        test = (frame["number"] % 4 == 0).to_numpy()
        samples, labels = texts_of(frame["text"]), frame["label"].map([*TOPICS].index).to_numpy()
        contexts = frame["context"].map(languages.index).to_numpy()
        english = texts_of(
            sentence(t, "en", n) for t, n in zip(frame.label, frame.number, strict=True)
        )
        return Dataset(
            samples[~test],
            labels[~test],
            samples[test],
            labels[test],
            (*TOPICS,),
            contexts=languages,
            train_contexts=contexts[~test],
            test_contexts=contexts[test],
            train_parallel=english[~test],
            pivot=languages.index("en"),
        )

    spread = {"samples_per_device": 30, "slots": 5, "public_contexts": ["en", "fr"]}
    settings = settings_of(partition={**spread, "heterogeneity": "iid"})
    fleet = [
        {
            **cluster.model_dump(),
            "devices": [
                {**device.model_dump(), "context": context}
                for device, context in zip(cluster.devices, contexts, strict=True)
            ],
        }
        for cluster, contexts in zip(settings.fleet, (("de", "it"), ("it", "fr")), strict=True)
    ]
    settings = Settings.model_validate({**settings.model_dump(), "fleet": fleet})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "load", read)
        divide(settings, "content", here / "dealt", here / "report")
    return here / "dealt"


def test_a_device_keeps_words_of_the_pivot_its_language_and_what_it_shares(
    dealt: Path,
) -> None:
    whole = tokenizer_in(Path("data"), 12)
    manifest = pd.read_parquet(dealt / "manifest.parquet")
    cloud = tensors_in(dealt, samples_name("cloud"))
    rows = manifest[(manifest["owner"] == "cloud") & (manifest["split"] == "train")]
    public = {
        context: set(
            cloud["train_tokens"][(rows["context"] == context).to_list()].flatten().tolist()
        )
        for context in ("en", "fr")
    }
    every = set(always(whole).tolist()) | public["en"]
    assert read_world(dealt, DEVICES).info.pivot == "en"  # type: ignore[attr-defined]
    frame = texts(("de", "en", "fr", "it"), 60)
    train = frame[frame["number"] % 4 != 0].reset_index(drop=True)
    for device, context in zip(DEVICES, ("de", "it", "it", "fr"), strict=True):
        tensors = tensors_in(dealt, samples_name(device))
        shared = manifest[manifest["shared_by"] == device]
        assert len(shared) == len(tensors["shared_train"]) + len(tensors["shared_val"]) > 0
        at = shared["sample_id"].str.rpartition("-")[2].astype(int)
        own = set(whole.numbers(train["text"][at]).flatten().tolist())
        assert set(tensors["words"].tolist()) == every | own | public.get(context, set())
    # what is left over for a ceiling has the words of its context, which no device's adds to
    spare = tensors_in(dealt, unused_name(0))["unused_tokens"]
    assert set(spare.flatten().tolist()) <= every


def test_the_cloud_has_each_train_text_in_the_pivot_beside_it(dealt: Path) -> None:
    manifest = pd.read_parquet(dealt / "manifest.parquet")
    cloud = tensors_in(dealt, samples_name("cloud"))
    train, parallel = cloud["train_tokens"], cloud["train_parallel"]
    assert train.shape == parallel.shape
    rows = manifest[(manifest["owner"] == "cloud") & (manifest["split"] == "train")]
    english = (rows["context"] == "en").to_numpy(copy=True)
    assert 0 < english.sum() < len(rows)
    assert (train[english] == parallel[english]).all()
    assert (train[~english] != parallel[~english]).any(1).all()
    whole, frame = tokenizer_in(Path("data"), 12), texts(("de", "en", "fr", "it"), 60)
    frame = frame[frame["number"] % 4 != 0].reset_index(drop=True)
    at = rows["sample_id"].str.rpartition("-")[2].astype(int)
    of = zip(frame["label"][at], frame["number"][at], strict=True)
    expected = whole.numbers(sentence(topic, "en", number) for topic, number in of)
    assert (parallel.numpy() == expected).all()


def test_what_is_trained_on_changes_with_the_encoder_s_weights(here: Path, brought: Path) -> None:
    """Which stay where they lie: the backbone's stage depends on these sums alone."""
    weights = Path("data/encoder/model.safetensors")
    weights.write_bytes(b"others")
    divide(settings_of(), "content", here / "out", here / "report")
    weights.unlink()
    before, after = (
        json.loads((of / "encoder.json").read_text()) for of in (brought, here / "out")
    )
    assert set(after) == {*before, "model.safetensors"}
    assert (brought / "SHA256SUMS.cloud").read_text() != (here / "out/SHA256SUMS.cloud").read_text()
    assert "encoder.json" in (brought / "SHA256SUMS.cloud").read_text()
