"""A model of texts ships with the words that it keeps, and answers as the whole one does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from models.backbone.config import build
from models.backbone.size import parameter_count
from tasks.delivery import formats
from tasks.delivery.export import Source, export
from tasks.delivery.shipped import example_of, inputs_of, load_shipped, unshipped
from tasks.run.errors import ArtifactError
from tasks.run.store import encode, put, read_tensors
from tasks.settings.fleet import Device
from tests.shipped_texts import LENGTH, ShippedTexts, shipped_texts


@pytest.fixture
def shipped(in_tmp: None, tmp_path: Path) -> ShippedTexts:
    return shipped_texts(tmp_path)


def device(limit: int = 100_000) -> Device:
    values = {"storage_limit": limit, "gpu_capacity_watt": 5.0, "base_latency_s": 1.0}
    return Device(id=0, group=0, **values)


def raw_of(shipped: ShippedTexts) -> torch.Tensor:
    return read_tensors(shipped.samples)[0]["val_tokens"]


def own_inputs(shipped: ShippedTexts) -> torch.Tensor:
    return inputs_of(shipped.file, raw_of(shipped), shipped.info, shipped.tokenizer)


def test_it_has_the_rows_of_its_words_alone_and_answers_as_the_whole_one(
    shipped: ShippedTexts,
) -> None:
    raw, inputs = raw_of(shipped), own_inputs(shipped)
    words = read_tensors(shipped.samples)[0]["words"]
    with torch.no_grad():
        expected = shipped.whole(raw.long())
        for model in (shipped.model, load_shipped(shipped.file)):
            torch.testing.assert_close(model(inputs), expected, atol=1e-6, rtol=0)
    saved = parameter_count(shipped.whole) - parameter_count(shipped.model)
    assert saved == 16 * (shipped.info.vocabulary - len(words)) > 0
    assert int(inputs.max()) < len(words) <= int(raw.max())
    assert example_of(shipped.file, shipped.info).shape == (2, LENGTH)


def test_a_clusters_backbone_weighs_what_of_it_ships(shipped: ShippedTexts, tmp_path: Path) -> None:
    vit = build(shipped.model[1].vit.config.with_vocabulary(shipped.info.vocabulary))
    whole = tmp_path / "backbone.safetensors"
    whole.write_bytes(encode(vit.state_dict(), vit.config.to_dict()))
    rows = shipped.info.vocabulary - 7
    assert unshipped(whole, rows) == 7 * vit.config.dim
    assert unshipped(whole, None) == unshipped(shipped.file, rows) == 0


def test_its_tokenizer_makes_the_inputs_of_the_texts_themselves(shipped: ShippedTexts) -> None:
    tokenizer = Tokenizer.from_file(str(shipped.file.with_name("tokenizer.json")))
    ids = torch.tensor([found.ids for found in tokenizer.encode_batch(shipped.written)])
    assert torch.equal(ids, own_inputs(shipped))
    odd = tokenizer.encode("\U0001f600 日本 Straße\x00" * 9)
    assert len(odd.ids) == LENGTH
    described = json.loads(shipped.file.with_name("config.json").read_text())
    assert described["backbone"]["vocabulary"] == tokenizer.get_vocab_size()


def test_texts_that_have_tokens_which_it_has_not_are_read_anew(shipped: ShippedTexts) -> None:
    whole = Tokenizer.from_str((shipped.file.parents[1] / "encoder/tokenizer.json").read_text())
    own = Tokenizer.from_file(str(shipped.file.with_name("tokenizer.json")))
    lost = [word for word in whole.get_vocab() if word not in own.get_vocab()]
    text = " ".join(sorted(word for word in lost if word.isalpha())[:3])
    raw = torch.tensor([whole.encode(text).ids + [0] * LENGTH], dtype=torch.int32)[:, :LENGTH]
    ids = inputs_of(shipped.file, raw, shipped.info, shipped.tokenizer)
    assert ids.tolist() == [own.encode(text).ids]
    other = put("tokenizer", whole.to_str().replace('"der"', '"dir"').encode())
    with pytest.raises(ArtifactError, match="another encoder"):
        inputs_of(shipped.file, raw, shipped.info, other)


def test_another_tokenizer_beside_it_is_refused(shipped: ShippedTexts) -> None:
    beside = shipped.file.with_name("tokenizer.json")
    beside.write_text(beside.read_text() + " ")
    with pytest.raises(ArtifactError, match=r"tokenizer\.json: not the tokenizer that model"):
        own_inputs(shipped)
    beside.unlink()
    with pytest.raises(ArtifactError, match="tokenizer"):
        own_inputs(shipped)


def exported(shipped: ShippedTexts, name: str, int8: bool = False, limit: int = 100_000) -> Path:
    source = Source(
        device(limit), "m", "1", shipped.file, shipped.samples, shipped.info, shipped.tokenizer
    )
    out = Path(f"out-{name}{int8}")
    manifest = export(source, name, int8, out)
    assert manifest == json.loads((out / "manifest.json").read_text())
    assert manifest["input"]["shape"] == ["n", LENGTH]
    assert manifest["input"]["tokenizer"] == "tokenizer.json"
    assert (out / "tokenizer.json").read_bytes() == shipped.file.with_name(
        "tokenizer.json"
    ).read_bytes()
    return out


@pytest.mark.parametrize("name", ["safetensors", pytest.param("pt2", marks=pytest.mark.slow)])
def test_other_formats_are_delivered_with_the_tokenizer(shipped: ShippedTexts, name: str) -> None:
    out = exported(shipped, name)
    with torch.no_grad():
        expected = shipped.whole(raw_of(shipped).long())[:5]
    run = formats.run(name, out / formats.FORMATS[name].file)
    torch.testing.assert_close(run(own_inputs(shipped)[:5]), expected, atol=1e-5, rtol=0)


def test_the_delivered_folder_answers_texts_where_no_torch_is(shipped: ShippedTexts) -> None:
    out = exported(shipped, "onnx")
    import onnxruntime

    session = onnxruntime.InferenceSession(out / "model.onnx")
    assert [given.name for given in session.get_inputs()] == ["ids", "mask"]
    ids = own_inputs(shipped)[:3].numpy()
    with torch.no_grad():
        expected = shipped.whole(raw_of(shipped).long()[:3]).numpy()
    mask = (ids != 0).astype(np.int64)
    [logits] = session.run(None, {"ids": ids, "mask": mask})
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    [padded] = session.run(None, {"ids": np.where(mask == 1, ids, 7), "mask": mask})
    np.testing.assert_allclose(padded, logits, atol=1e-6)  # by the mask, not by the numbers

    Path("texts.txt").write_text("\n\n".join(shipped.written[:2]) + "\n", "utf-8")
    blocked = (
        "import sys, runpy\n"
        "for name in ('torch', 'transformers', 'pandas', 'tasks', 'models', 'flows'):\n"
        "    sys.modules[name] = None\n"
        "sys.argv = ['run.py', *sys.argv[1:]]\n"
        "runpy.run_path(sys.argv[0].replace('run.py', 'OUT/run.py'), run_name='__main__')\n"
    ).replace("OUT", str(out))

    def run(*given: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", blocked, *given]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run("texts.txt", shipped.written[2])
    classes = [shipped.info.classes[at] for at in expected.argmax(1)]
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stderr
    for line, text, name in zip(lines, shipped.written, classes, strict=False):
        assert line.startswith(f"{text}: {name} (0."), line
    assert "python run.py TEXT" in run().stderr
    Path("torn.txt").write_bytes(b"\xff\xfe\xfa")
    assert "torn.txt: cannot read" in run("torn.txt").stderr
    tokenizer = out / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + " ")
    assert "tokenizer.json is damaged" in run("a").stderr


@pytest.mark.slow
def test_quantised_weights_of_texts_answer_nearly_alike(shipped: ShippedTexts) -> None:
    manifest = json.loads((exported(shipped, "onnx", int8=True) / "manifest.json").read_text())
    assert manifest["int8"]
    assert 0 < manifest["measured_here"]["max_difference"] < 1
    assert 0 <= manifest["measured_here"]["delivered"]["val_accuracy"] <= 1
