"""What is retried and what keys a cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from models.backbone.training import fit
from models.matching.selection import NothingFitsError
from tasks.run.cached import KEY, cached, libraries, worth_retrying
from tasks.run.compute import Machine, prepare
from tasks.run.errors import AcmeError, ArtifactError, LinkError, SettingsError
from tasks.run.modules import load_backbone, load_header
from tasks.settings.params import Reference


class Ended:
    """A task run's state, as Prefect shows it to a retry condition."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def result(self) -> None:
        raise self.error


@pytest.mark.parametrize(
    "error", [OSError("connection lost"), TimeoutError(), ConnectionError(), RuntimeError("busy")]
)
def test_what_may_pass_is_tried_again(error: Exception) -> None:
    assert worth_retrying(None, None, Ended(error))


@pytest.mark.parametrize(
    "error",
    [
        LinkError("undeclared"),
        ArtifactError("damaged"),
        NothingFitsError("too small"),
        ValueError("wrong"),
        KeyError("missing"),
        FileNotFoundError("gone"),
    ],
)
def test_what_fails_the_same_way_again_is_not(error: Exception) -> None:
    assert not worth_retrying(None, None, Ended(error))


class Context:
    """A task run, as Prefect shows it to a cache policy."""

    def __init__(self, function: Any) -> None:
        self.task = cached("test")(function)


def key(function: Any, **inputs: Any) -> str | None:
    return KEY.compute_key(Context(function), inputs, {})


def test_another_file_at_the_same_path_is_another_key(tmp_path: Path) -> None:
    small = {"patch_size": 4, "dim": 12, "depth": 2, "heads": 3, "mlp_ratio": 2.0}
    file = tmp_path / "weights.safetensors"
    reference = Reference.model_validate({**small, "checkpoint": file})
    found = []
    for content in (None, b"one", b"two", b"one"):
        if content is not None:
            file.write_bytes(content)
        found.append(key(load_backbone, spec=reference))
    assert found[1] == found[3]
    assert len(set(found)) == 3


def test_the_key_follows_inputs_code_and_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(load_backbone, ref="a")
    assert key(load_backbone, ref="a") == before
    assert key(load_backbone, ref="b") != before
    assert key(load_header, ref="a") != before
    assert key(fit, ref="a") != before  # of another module
    monkeypatch.setattr("tasks.run.cached.version", lambda name: "next")
    libraries.cache_clear()
    assert key(load_backbone, ref="a") != before
    monkeypatch.undo()
    libraries.cache_clear()
    assert key(load_backbone, ref="a") == before


def test_auto_is_the_processor_that_is_found() -> None:
    found = "cuda" if torch.cuda.is_available() else "cpu"
    assert Machine.of("auto", 1) == Machine.of(found, 1)


def test_cuda_where_there_is_none_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SettingsError, match="no GPU here"):
        prepare("cuda", 1)
    assert Machine("auto", 1).prepare().type == "cpu"


def test_every_error_for_a_person_has_one_base() -> None:
    from tasks.run import errors

    raised = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]
    assert len(raised) >= 7
    assert all(issubclass(e, AcmeError) for e in raised)
