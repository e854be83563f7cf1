"""What `acme serve` runs: a model that is made of the champion's state alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tasks.delivery.shipped import inputs_of
from tasks.run.errors import ArtifactError
from tasks.run.store import read_tensors
from tests.shipped_texts import shipped_texts


def test_a_model_of_texts_takes_texts_and_says_their_classes(in_tmp: None, tmp_path: Path) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc import load_model

    from tasks.tracking.served import save_served

    shipped = shipped_texts(tmp_path)
    served = load_model(str(save_served(shipped.file, tmp_path)))
    raw = read_tensors(shipped.samples)[0]["val_tokens"]
    inputs = inputs_of(shipped.file, raw, shipped.info, shipped.tokenizer)
    with torch.no_grad():
        best = shipped.model(inputs).softmax(1).max(1)
    answers = served.predict(shipped.written)
    assert answers["class"].tolist() == [shipped.info.classes[at] for at in best.indices.tolist()]
    assert answers["share"].tolist() == pytest.approx(best.values.tolist(), abs=1e-6)
    assert len(served.predict(["\x00 \U0001f600"])) == 1
    with pytest.raises(MlflowException):
        served.predict([[1.0, 2.0]])
    shipped.file.with_name("tokenizer.json").unlink()
    with pytest.raises(ArtifactError, match=r"tokenizer\.json"):
        save_served(shipped.file, tmp_path)
