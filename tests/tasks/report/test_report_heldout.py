"""Test splits have one reader."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tasks.data.modality import ImageInfo
from tasks.data.samples import read_split
from tasks.report.heldout import test_count as count_of
from tasks.report.heldout import test_split as split_of
from tasks.run.errors import ArtifactError
from tasks.run.store import put_tensors

INFO = ImageInfo("test", ("a", "b"), 2, 1, (0.5,), (0.25,))


def test_it_reads_the_test_split_which_nobody_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tensors = {
        "test_images": torch.full((3, 1, 2, 2), 255, dtype=torch.uint8),
        "test_labels": torch.tensor([0, 1, 1], dtype=torch.uint8),
    }
    samples = put_tensors("samples", tensors)
    images, labels = split_of(samples, INFO)
    assert torch.equal(images, torch.full((3, 1, 2, 2), 2.0))
    assert labels.tolist() == [0, 1, 1]
    assert labels.dtype == torch.int64
    assert count_of(samples) == 3
    with pytest.raises(ValueError, match="heldout alone"):
        read_split(samples, "test", INFO)
    with pytest.raises(ArtifactError, match="no split 'val'"):
        read_split(samples, "val", INFO)
