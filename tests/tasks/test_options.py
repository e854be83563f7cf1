"""What is retried and what keys a cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.matching.selection import NothingFitsError
from tasks.compute import Machine, prepare
from tasks.errors import AcmeError, ArtifactError, LinkError, SettingsError
from tasks.options import code_version, worth_retrying


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


def test_the_code_version_follows_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "somepackage"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = code_version("somepackage")
    assert code_version("somepackage") == before
    (package / "part.py").write_text("x = 2\n")
    code_version.cache_clear()
    assert code_version("somepackage") != before


def test_cuda_where_there_is_none_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SettingsError, match="no GPU here"):
        prepare("cuda", 1)
    assert Machine("auto", 1).prepare().type == "cpu"


def test_every_error_for_a_person_has_one_base() -> None:
    from tasks import errors

    raised = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]
    assert len(raised) >= 7
    assert all(issubclass(e, AcmeError) for e in raised)
