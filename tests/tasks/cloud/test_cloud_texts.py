"""Texts in the cloud: an encoder as the reference, what of it is trained, translations, headers of
a variant's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.backbone.distillation import Distillation
from models.backbone.elastic import Grid, forward
from models.backbone.training import Training
from tasks.cloud import backbone as cloud
from tasks.cloud.encoder import bring_encoder
from tasks.cloud.public import Public
from tasks.cloud.reference import check_depth, made, score_reference, train_reference
from tasks.data.modality import TextInfo
from tasks.links.records import Trained
from tasks.run.compute import Machine
from tasks.run.errors import SettingsError
from tasks.run.modules import load_backbone
from tasks.run.store import Ref, put_tensors
from tasks.settings.params import ReferenceModel, Settings
from tests.encoders import tiny_encoder
from tests.texts import TOPICS, sentence
from tests.tiny import tiny_params

pytestmark = pytest.mark.usefixtures("in_tmp")
LENGTH = 12
CLASSES = tuple(TOPICS)
TRAIN, VAL = range(30), range(30, 50)
MACHINE = Machine("cpu", 1)
SPEC = ReferenceModel(patch_size=4, dim=8, depth=1, heads=2, mlp_ratio=2.0)
GRID = Grid((0.5, 1.0), (1, 3), "first")
RECIPE = Distillation(2, 10, 16, 1e-3, 0.5, 0.1, 0.1, 1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    every = [sentence(t, of, n) for t in TOPICS for of in ("en", "de") for n in range(50)]
    return tiny_encoder(tmp_path_factory.mktemp("encoder"), every)


def tokens_of(folder: Path, texts: list[str]) -> Tensor:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding(length=LENGTH)
    tokenizer.enable_truncation(LENGTH)
    return torch.tensor([e.ids for e in tokenizer.encode_batch(texts)], dtype=torch.int32)


@pytest.fixture
def public(folder: Path) -> Public:
    """German texts, with what they are translations of."""
    tensors: dict[str, Tensor] = {}
    for split, numbers in (("train", TRAIN), ("val", VAL)):
        which = [(topic, number) for topic in CLASSES for number in numbers]
        told = tokens_of(folder, [sentence(topic, "de", number) for topic, number in which])
        tensors[f"{split}_tokens"] = told
        tensors[f"{split}_labels"] = torch.tensor([CLASSES.index(t) for t, _ in which]).short()
        if split == "train":
            english = [sentence(topic, "en", number) for topic, number in which]
            tensors["train_parallel"] = tokens_of(folder, english)
    return Public(put_tensors("samples", tensors, {}), info_of(folder))


def info_of(folder: Path) -> TextInfo:
    from tokenizers import Tokenizer

    count = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size()
    return TextInfo("manifest", CLASSES, LENGTH, count, 0, "en")


@pytest.fixture
def given(folder: Path) -> Ref:
    return bring_encoder.fn(folder, LENGTH)


def trained(public: Public, given: Ref, layers: int | None, steps: int = 60) -> Trained:
    recipe = Training(
        epochs=1, batch_size=16, lr=1e-2, weight_decay=0.0, steps=steps, patience=9, layers=layers
    )
    return train_reference.fn(public, SPEC, recipe, 0, MACHINE, given)


# ---- the reference ----


@pytest.mark.parametrize(
    ("layers", "moved"), [(0, set()), (1, {2}), (2, {1, 2}), (None, {-1, 0, 1, 2})]
)
def test_only_what_the_settings_name_is_trained(
    public: Public, given: Ref, layers: int | None, moved: set[int]
) -> None:
    """Layers by number; -1: what comes before the first. The header always is."""
    before = load_backbone(given).state_dict()
    found = trained(public, given, layers, steps=3)
    after = load_backbone(found.model).state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {int(n.split(".")[1]) if n.startswith("blocks.") else -1 for n in changed} == moved
    assert after["head.weight"].shape == (4, 32)
    assert found == trained(public, given, layers, steps=3)


def test_a_header_alone_learns(public: Public, given: Ref) -> None:
    """And is kept by the validation split, as all of it would be."""
    found = trained(public, given, 0, steps=200)
    known = score_reference.fn(found.model, public, 0, MACHINE)
    assert known.warning is None
    assert known.accuracy > 0.6
    assert known.no_layer_accuracy is None
    assert found.kept <= found.steps <= 200
    fresh = score_reference.fn(trained(public, given, 0, steps=0).model, public, 0, MACHINE)
    assert fresh.accuracy < known.accuracy


def test_another_encoder_is_another_input(folder: Path, given: Ref, tmp_path: Path) -> None:
    assert bring_encoder.fn(folder, LENGTH) == given
    assert bring_encoder.fn(folder, LENGTH + 1) != given
    other = tiny_encoder(tmp_path / "other", initializer_range=0.3)
    assert bring_encoder.fn(other, LENGTH) != given


def test_an_encoder_that_cannot_be_the_reference_is_named(
    folder: Path, given: Ref, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=r"data.encoder: .*another activation .*\(relu\)"):
        bring_encoder.fn(tiny_encoder(tmp_path / "relu", hidden_act="relu"), LENGTH)
    info = info_of(folder)
    check_depth.fn(SPEC, info, 3, given)
    with pytest.raises(SettingsError, match=r"backbone.depths: 4, but the reference has 3 layers"):
        check_depth.fn(SPEC, info, 4, given)
    for other in (replace(info, length=LENGTH + 1), replace(info, vocabulary=9)):
        with pytest.raises(SettingsError, match=r"data.encoder: .* Run: acme stage partition"):
            check_depth.fn(SPEC, other, 3, given)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (0, "given weights and a fresh header, its header alone trained for 60 steps"),
        (2, "its header and last 2 layers trained for 60 steps"),
        (None, "given weights and a fresh header, trained for 60 steps"),
    ],
)
def test_how_it_was_made_is_said(given: Ref, layers: int | None, words: str) -> None:
    settings = text_settings(training={"layers": layers, "steps": 60})
    said = made(settings, Trained(given, 60, 40))
    assert said.startswith("the encoder minilm, from given weights and a fresh header, ")
    assert words in said
    assert "mirrored" not in said


def text_settings(**backbone: dict[str, Any] | Any) -> Settings:
    params = tiny_params()
    params["data"] |= {"source": "manifest", "encoder": "minilm", "sensors": []}
    for name, value in backbone.items():
        if isinstance(value, dict):
            params["backbone"][name] |= value
        else:
            params["backbone"][name] = value
    return Settings.model_validate(params)


def test_settings_of_texts() -> None:
    """An encoder is the reference: its depth is its own, and no other can be named beside it."""
    assert max(text_settings(depths=[2, 12]).backbone.depths) == 12
    for other in ({"name": "vit_tiny_patch16_224"}, {"checkpoint": "weights.safetensors"}):
        with pytest.raises(ValueError, match=r"data.encoder is the reference of texts: null"):
            text_settings(reference=other)
    assert text_settings(distillation={"parallel": True}).backbone.distillation.parallel
    images = tiny_params()
    images["backbone"]["distillation"]["parallel"] = True
    with pytest.raises(ValueError, match=r"distillation.parallel: it is of texts: false"):
        Settings.model_validate(images)


def test_of_texts_there_is_no_plain_cnn(public: Public) -> None:
    from flows.backbone import plain_cnn
    from flows.job import Job
    from tasks.data.samples import World

    settings = text_settings()
    assert not settings.backbone.cnn.none
    assert plain_cnn(Job(settings, World(public.info, {"cloud": public.samples}), MACHINE)) is None


# ---- distillation ----


def gap(model: Ref, teacher: Ref, public: Public) -> float:
    """How far what the elastic model reads of translations is from what the teacher reads of the
    texts they are of."""
    told = public.parallel()
    assert told is not None
    student, whole = load_backbone(model), load_backbone(teacher)
    with torch.no_grad():
        seen = forward(student, public.split("train")[0])
        own = student.pooled(seen.hidden[-1], seen.mask)
        return float((own - whole.pooled(whole.encode(told), whole.mask(told))).pow(2).mean())


def test_translations_are_brought_to_what_the_teacher_reads(public: Public, given: Ref) -> None:
    reference = trained(public, given, 0).model
    recipe = replace(RECIPE, depth_steps=60, lr=5e-3, pooled_weight=1.0, label_weight=0.0)
    plain, parallel = (
        cloud.distil.fn(reference, public, GRID, replace(recipe, parallel=on), 0, MACHINE)
        for on in (False, True)
    )
    assert gap(parallel, reference, public) < 0.5 * gap(plain, reference, public)
    again = cloud.distil.fn(reference, public, GRID, replace(recipe, parallel=True), 0, MACHINE)
    assert again == parallel


def test_texts_that_are_no_translations_are_not_taken_for_them(public: Public, given: Ref) -> None:
    from tasks.run.store import read_tensors

    tensors = {k: v for k, v in read_tensors(public.samples)[0].items() if k != "train_parallel"}
    alone = replace(public, samples=put_tensors("samples", tensors, {}))
    assert alone.parallel() is None
    with pytest.raises(SettingsError, match=r"distillation.parallel: .*: false"):
        cloud.distil.fn(given, alone, GRID, replace(RECIPE, parallel=True), 0, MACHINE)


# ---- headers of a variant's own ----


def test_variants_have_headers_of_their_own_where_asked(public: Public, given: Ref) -> None:
    ranked = cloud.rank.fn(trained(public, given, 0).model, public, 32, MACHINE)
    without = cloud.score.fn(ranked, public, GRID, 0, MACHINE)
    found = cloud.score.fn(ranked, public, GRID, 100, MACHINE)
    assert [replace(v, refit_loss=None, refit_accuracy=None) for v in found] == without
    assert found == cloud.score.fn(ranked, public, GRID, 100, MACHINE)
    assert len(found) == 4
    for variant in found:
        assert variant.refit_accuracy is not None
        assert variant.refit_loss is not None
        assert variant.refit_accuracy > 0.4, "chance is .25"
    assert without[0].refit_loss is None
    smallest = found[0]
    assert smallest.refit_loss < smallest.val_loss, "cut and not trained, its old header fails"
    known = score_reference.fn(ranked, public, 100, MACHINE)
    assert known.no_layer_accuracy is not None
    assert known.no_layer_accuracy > 0.4
