"""Facts of the data go through data.json and back; what is newer is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tasks.data.modality import (
    MODALITIES,
    VERSION,
    DataInfo,
    ImageInfo,
    TextInfo,
    from_json,
    of_images,
    of_texts,
    require_readable,
    to_json,
)
from tasks.data.samples import read_info
from tasks.run.errors import ArtifactError, SettingsError
from tasks.run.files import write_json
from tasks.run.written import rewriting

INFO = ImageInfo("mine", ("a", "b"), 4, 1, (0.5,), (0.25,), contexts=("day", "night"))
TEXTS = TextInfo("mine", ("a", "b"), 4, 100, 0, "en", contexts=("de", "en"))


@pytest.mark.parametrize("info", [INFO, TEXTS, TextInfo("mine", ("a", "b"), 4, 100, 0)])
def test_facts_come_back_as_they_were_written(info: DataInfo, tmp_path: Path) -> None:
    with rewriting(tmp_path / "partition") as new:
        write_json(new / "data.json", to_json(info))
    assert read_info(tmp_path / "partition") == info


def test_an_older_file_is_read_and_tells_of_one_context() -> None:
    older = {"source": "mine", "classes": ["a"], "image_size": 4, "channels": 1}
    found = from_json({**older, "mean": [0.5], "std": [0.5]}, "data.json")
    assert found == ImageInfo("mine", ("a",), 4, 1, (0.5,), (0.5,))
    assert (found.contexts, found.wanted) == (("all",), ())


def test_a_newer_file_and_an_unknown_modality_are_refused_by_name() -> None:
    values = to_json(INFO)
    with pytest.raises(ArtifactError, match=rf"data\.json is of version {VERSION + 1}; this ACME"):
        from_json({**values, "version": VERSION + 1}, "data.json")
    with pytest.raises(ArtifactError, match=r"data\.json: unknown modality 'smell'.* image"):
        from_json({**values, "modality": "smell"}, "data.json")
    for wrong in (
        {**values, "version": "2"},
        {"version": None},
        [],
        {"modality": ["x"]},
        {"mean": 3},
    ):
        with pytest.raises(ArtifactError, match=r"data\.json"):
            from_json(wrong, "data.json")  # type: ignore[arg-type]
    require_readable({"version": VERSION}, "data.json")


def test_images_as_inputs_and_in_bytes() -> None:
    raw = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 1, 4, 4)
    inputs = INFO.inputs(raw)
    assert inputs.shape == (2, 1, 4, 4)
    assert inputs[:, 0, 0, 0].tolist() == [-2, 2]
    assert INFO.raw_bytes(raw) == 2 * 4 * 4
    example = INFO.example(3)
    assert example.shape == (3, 1, 4, 4)
    assert 0 <= float(example.min()) < float(example.max()) <= 1
    assert torch.equal(example, INFO.example(3))


def test_texts_as_inputs_and_in_bytes() -> None:
    raw = torch.tensor([[2, 50, 3, 0], [2, 99, 98, 3]], dtype=torch.int32)
    inputs = TEXTS.inputs(raw)
    assert inputs.dtype == torch.int64
    assert torch.equal(inputs, raw.long())
    assert TEXTS.raw_bytes(raw) == 2 * 7  # none for padding
    assert TextInfo("mine", ("a",), 4, 2**16, 0).raw_bytes(raw) == 2 * 7
    assert TextInfo("mine", ("a",), 4, 2**16 + 1, 0).raw_bytes(raw) == 4 * 7


def test_the_look_of_texts_is_their_most_common_word_and_the_script() -> None:
    info = TextInfo("mine", ("a",), 4, 100, 0, letters=5)
    raw = [[2, 4, 9, 5], [2, 5, 8, 3], [2, 4, 6, 3], [2, 5, 98, 97], [2, 3, 0, 0], [0, 0, 0, 0]]
    found = info.summary(torch.tensor(raw, dtype=torch.int32))
    assert ((found >= 0) & (found < 1)).all()
    assert found[0] == found[1] != found[2]  # 5 is the most common of both; 2 to 4 are no letters
    assert found[3] == pytest.approx(found[0] + 0.5)  # rare tokens: of another script
    assert found[4] == found[5]  # no letter in either
    lower = info.summary(torch.arange(5, 40, dtype=torch.int32)[:, None])
    assert len({int(place) for place in lower * info.bins}) == info.bins // 2  # strewn


def test_a_shipped_model_has_numbers_of_its_own_words() -> None:
    raw = torch.tensor([[2, 50, 3, 0]], dtype=torch.int32)
    words = torch.tensor([0, 2, 3, 7, 50], dtype=torch.int32)
    assert TEXTS.shipped(raw, words).tolist() == [[1, 4, 2, 0]]
    assert TEXTS.shipped(raw).tolist() == raw.tolist()
    for other in (51, 4):
        with pytest.raises(ValueError, match="not in the vocabulary"):
            TEXTS.shipped(torch.tensor([[2, other, 3, 0]]), words)
    for given, there in ((None, set(range(1, 100))), (words, {1, 2, 3, 4})):
        example = TEXTS.example(30, given)
        assert example.shape == (30, 4)
        assert example.dtype == torch.int64
        assert set(example.flatten().tolist()) <= there
        assert torch.equal(example, TEXTS.example(30, given))


def test_what_takes_images_refuses_other_data() -> None:
    class Sounds(DataInfo):
        modality = "sound"
        inputs = shipped = summary = raw_bytes = example = shape = prepare = lambda self, given: (
            given
        )

    assert of_images(INFO) is INFO
    with pytest.raises(SettingsError, match="mine: this takes images, not sound"):
        of_images(Sounds("mine", ("a",)))
    with pytest.raises(SettingsError, match="mine: this takes texts, not image"):
        of_texts(INFO)
    assert of_texts(TEXTS) is TEXTS
    assert "sound" not in MODALITIES
