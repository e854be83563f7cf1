"""Partitions of experiments are kept by content."""

from __future__ import annotations

from pathlib import Path

from tasks.experiments.world import _kept
from tasks.run.files import Ref, sha256_of


def written(path: Path, content: bytes) -> Ref:
    path.write_bytes(content)
    return _kept(Ref(str(path), sha256_of(path)))


def test_another_division_is_written_beside_what_earlier_results_refer_to(tmp_path: Path) -> None:
    first = written(tmp_path / "cloud.safetensors", b"one way")
    second = written(tmp_path / "cloud.safetensors", b"another way")
    again = written(tmp_path / "cloud.safetensors", b"one way")
    assert first == again != second
    for ref in (first, second):
        assert sha256_of(Path(ref.path)) == ref.sha256
