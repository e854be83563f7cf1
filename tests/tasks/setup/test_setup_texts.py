"""Settings of texts: what of them and of their encoder cannot be run is told before anything is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from tasks.run.errors import AcmeError, SettingsError
from tasks.settings.fields import read_yaml, yaml_text
from tasks.settings.params import Settings, merged
from tasks.setup import profiling
from tasks.setup.check import check
from tasks.setup.defaults import SHIPPED, Wishes, changes
from tasks.setup.texts import encoder_config, least_words, prove, words_kept
from tests.texts import text_params, texts, write_texts, write_tokenizer

KNOWN = texts(of_each=60)["text"].tolist()
WIDE = 10**6
NOWHERE = {"data": {"folder": "none"}}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working folder has texts of four devices and their encoder, of which no weights are
    looked at."""
    root = tmp_path_factory.mktemp("texts")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_texts(Path("data"))
        put_encoder()
        yield root


def put_encoder(folder: str = "data/encoder", **changes: Any) -> None:
    write_tokenizer(Path(folder), KNOWN, **changes)
    Path(folder, "model.safetensors").write_bytes(b"weights")


def told(**overlay: Any) -> tuple[str, ...]:
    """What `acme check` says of the settings, with limits that are wide unless they say others."""
    return check(written(**overlay)).unseen


def written(limit: int = WIDE, **overlay: Any) -> Path:
    params = merged(text_params(), overlay)
    for cluster in params["fleet"]:
        for device in cluster["devices"]:
            device["storage_limit"] = limit
    Path("params.yaml").write_text(yaml_text(params))
    return Path("params.yaml")


def test_settings_of_texts_can_be_run(here: Path) -> None:
    assert told() == ()


def test_what_is_not_there_yet_is_told(here: Path) -> None:
    shutil.move("data/encoder", "elsewhere")
    try:
        assert told() == ("the encoder: data/encoder is not there yet",)
        assert told(**NOWHERE) == (
            "the encoder: none/encoder is not there yet",
            "whether the data are enough: none is not there yet",
        )
    finally:
        shutil.move("elsewhere", "data/encoder")


def test_a_device_needs_room_for_its_own_words_alone(here: Path) -> None:
    settings = Settings.model_validate(text_params())
    kept, whole = words_kept(settings), encoder_config(settings.data, 4).vocabulary
    least = least_words(settings.data)
    assert set(kept) == {f"device-{at:02d}" for at in range(4)}
    assert all(least < rows < whole for rows in kept.values())
    with pytest.raises(SettingsError, match=r"fleet: north: .*with \d+ words \((.+?)\)") as caught:
        told(limit=1)
    [needed] = [w.rstrip(":") for w in str(caught.value).split() if w.endswith(":") and "," in w]
    enough = int(needed.replace(",", ""))
    assert told(limit=enough) == ()
    with pytest.raises(SettingsError, match=f"with {max(kept.values())} words"):
        told(limit=enough - 1)


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "another kind": ({"model_type": "roberta"}, {}, "of kind roberta; ACME takes bert"),
    "no layers": ({"num_hidden_layers": None}, {}, "num_hidden_layers .* None: not a whole number"),
    "heads that do not fit": ({"num_attention_heads": 5}, {}, "32 dimensions are no multiple of 5"),
    "another vocabulary": ({"vocab_size": 9}, {}, "vocabulary .* is 9: take both of one model"),
    "too long": (
        {},
        {"data": {"length": 65}},
        r"data\.length: 65, but .* takes 64 tokens",
    ),
    "too deep": ({}, {"backbone": {"depths": [4]}}, r"backbone\.depths: 4, but tiny has 3 layers"),
    "too few": (
        {},
        {"partition": {"public_train": 900}},
        r"public_train \+ public_val: 940 of 180 train samples",
    ),
    "no header": ({}, {"matching": {"header_budget": 99}}, "header_budget: 99 .* 4 classes"),
    "no encoder": ({}, {"data": {"encoder": None}}, r"lists texts: name an encoder \(data\.enc"),
    "translations that are not there": (
        {},
        {"backbone": {"distillation": {"parallel": True}}},
        "distillation.parallel: manifest has no translations: set false",
    ),
    "mirrored texts": (
        {},
        {"backbone": {"training": {"flip": True}}},
        "backbone.training.flip: texts are not mirrored",
    ),
    "another reference": (
        {},
        {"backbone": {"reference": {"name": "vit_tiny_patch16_224"}}},
        "backbone.reference.name: data.encoder is the reference",
    ),
    "sensors": ({}, {"data": {"sensors": ["upright"]}}, "sensors: they see images, not texts"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_run_is_named(name: str, here: Path) -> None:
    encoder, overlay, said = WRONG[name]
    put_encoder(**encoder)
    try:
        with pytest.raises(AcmeError, match=said) as caught:
            told(**overlay)
        assert "\n" not in str(caught.value)
    finally:
        put_encoder()


def test_another_encoder_than_the_named_one_is_refused(here: Path) -> None:
    put_encoder("tiny")
    try:
        assert told() == ()
        Path("tiny/model.safetensors").write_bytes(b"others")
        with pytest.raises(SettingsError, match=r"tiny, but data/encoder/model.* is of another"):
            told()
    finally:
        shutil.rmtree("tiny")
    with pytest.raises(SettingsError, match=r"L6-v2, but .* remove data/encoder, then: acme"):
        told(data={"encoder": "sentence-transformers/all-MiniLM-L6-v2"})


def test_texts_that_are_too_few_are_called_so(here: Path) -> None:
    listed = Path("data/manifest.csv").read_text()
    mine = [line for line in listed.splitlines() if line.endswith("device-00")]
    try:
        Path("data/manifest.csv").write_text(listed.replace("\n".join(mine[2:-1]) + "\n", ""))
        with pytest.raises(AcmeError, match=r"device-00 has 3 distinct texts of its own .* rows"):
            told()
    finally:
        Path("data/manifest.csv").write_text(listed)


WISHES = Wishes("manifest", Path("data"), model="tiny")


def test_new_settings_of_texts_can_be_run(here: Path) -> None:
    """Limits are from the sizes of variants with the words that the texts have."""
    shipped = read_yaml(SHIPPED / "settings.yaml")
    found = changes(replace(WISHES, clusters=2), shipped)
    assert (found["data"]["encoder"], found["data"]["manifest"]) == ("tiny", "manifest.csv")
    assert found["backbone"]["widths"] == [0.25, 0.5, 0.75, 1.0]
    assert found["backbone"]["depths"] == [1, 2, 3]
    assert not found["backbone"]["cnn"]["epochs"]
    assert found["partition"]["samples_per_device"] == 0
    Path("params.yaml").write_text(yaml_text(merged(shipped, found)))
    checked = check(Path("params.yaml"))
    assert checked.unseen == ()
    limits = [device.storage_limit for device in checked.settings.devices]
    kept = words_kept(checked.settings)
    whole = encoder_config(checked.settings.data, 4)
    assert max(limits) < 36_000 + 32 * whole.vocabulary + 30_000
    assert max(kept.values()) < whole.vocabulary


def test_texts_that_are_nobody_s_are_dealt(here: Path) -> None:
    """In several languages, all of them public; devices share some."""
    folder = Path("dealt")
    folder.mkdir()
    listed = texts(("de", "en"), of_each=120).drop(columns="number")
    listed.to_csv(folder / "manifest.csv", index=False)
    put_encoder("dealt/encoder")
    shipped = read_yaml(SHIPPED / "settings.yaml")
    found = changes(replace(WISHES, data=folder, devices=3, clusters=2), shipped)
    Path("params.yaml").write_text(yaml_text(merged(shipped, found)))
    checked = check(Path("params.yaml"))
    assert checked.unseen == ()
    assert checked.settings.partition.samples_per_device >= 10
    assert set(words_kept(checked.settings)) == {"device-00", "device-01", "device-02"}
    listed.groupby(["context", "label"]).head(5).to_csv(folder / "manifest.csv", index=False)
    with pytest.raises(AcmeError, match=r"--data: class games \(de\) has 4 distinct texts"):
        changes(replace(WISHES, data=folder, devices=12), shipped)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"image_size": 32}, "--image-size: it is of images, and these are texts"),
        ({"channels": 1}, "--channels: it is of images"),
        ({"checkpoint": Path("x.pth")}, "--checkpoint: it is of images"),
        ({"devices": 3}, "--devices: the data name theirs, which are 4"),
    ],
)
def test_what_new_settings_of_texts_do_not_take_is_named(
    wish: dict[str, Any], said: str, here: Path
) -> None:
    with pytest.raises(SettingsError, match=said):
        changes(replace(WISHES, **wish), read_yaml(SHIPPED / "settings.yaml"))


def test_a_machine_is_profiled_with_a_model_like_the_encoder(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(
        variants: list[nn.Module], grid: list[tuple[float, int]], inputs: Tensor, counter: None
    ) -> list[profiling.Measured]:
        assert inputs.shape == (profiling.BATCH, 12)
        assert all(module(inputs).shape[0] == profiling.BATCH for module in variants)
        times = [0.01 * (1 + width * depth) for width, depth in grid]
        return [profiling.Measured(*at, s, s, None) for at, s in zip(grid, times, strict=True)]

    monkeypatch.setattr(profiling, "_measure", measured)
    settings = Settings.model_validate(text_params())
    found = profiling.profile(settings, watt=3.0)
    assert {(of.width, of.depth) for of in found.measured} == {(0.5, 1), (0.5, 2), (1, 1), (1, 2)}
    assert found.gpu_capacity_watt == 3
    with pytest.raises(SettingsError, match=r"the encoder is not in none yet\. Try: acme data"):
        profiling.profile(Settings.model_validate(merged(text_params(), NOWHERE)), watt=3.0)


@pytest.mark.slow  # transformers takes seconds to be imported
def test_weights_that_are_none_are_refused(here: Path) -> None:
    settings = Settings.model_validate(text_params())
    with pytest.raises(SettingsError, match=r"data\.encoder: tiny: .*") as caught:
        prove(settings)
    assert "\n" not in str(caught.value)
