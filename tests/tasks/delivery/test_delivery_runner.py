"""What is delivered reads a picture as training did."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tasks.data.pictures import read_image
from tasks.delivery.export import TEMPLATES, standalone
from tests.odd import odd_pictures


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The delivered ``run.py``, where nothing of this project is installed."""
    for name in [n for n in sys.modules if n.partition(".")[0] in ("tasks", "models", "flows")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("tasks", "models", "flows"):
        monkeypatch.setitem(sys.modules, name, None)
    module = ModuleType("runner")
    module.__file__ = str(tmp_path / "run.py")
    text = standalone((TEMPLATES / "image/run.py").read_text())
    exec(compile(text, module.__file__, "exec"), module.__dict__)
    return module


def test_it_gives_the_same_pixels_of_every_odd_picture(tmp_path: Path, runner: ModuleType) -> None:
    for path in odd_pictures(tmp_path):
        for channels, size in ((1, 28), (3, 5)):
            trained = read_image(path, size, channels)
            run = runner.read(path, (channels, size, size))
            assert run.dtype == np.float32
            np.testing.assert_array_equal(run, trained.astype(np.float32) / 255, path.name)
    (tmp_path / "torn.png").write_bytes(b"\x89PNG not really")
    with pytest.raises(SystemExit, match=r"torn\.png: cannot read"):
        runner.read(tmp_path / "torn.png", (1, 8, 8))
