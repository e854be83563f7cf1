"""What is retried and what keys a cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any, get_args, get_type_hints

import pytest
import torch
from prefect import Task, flow
from pydantic import BaseModel

from models.backbone.training import fit
from models.matching.selection import NothingFitsError
from tasks.run.cached import KEY, cached, libraries, worth_retrying
from tasks.run.compute import Machine, prepare
from tasks.run.errors import AcmeError, ArtifactError, LinkError, SettingsError
from tasks.run.modules import load_backbone, load_header
from tasks.settings.params import Reference, Settings
from tests.tiny import ROOT


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


def cached_tasks() -> dict[str, Task]:
    """Every cached task of the program."""
    found = {}
    for path in [
        f for room in ("flows", "tasks") for f in sorted((ROOT / room).rglob("[a-z]*.py"))
    ]:
        module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        tasks = [v for v in vars(module).values() if isinstance(v, Task) and v.persist_result]
        found |= {f"{task.fn.__module__}.{task.fn.__name__}": task for task in tasks}
    return found


def keyed(task: Task) -> dict[str, Any]:
    """The annotations of what a task's key is made of."""
    hints = {name: hint for name, hint in get_type_hints(task.fn).items() if name != "return"}
    policies = getattr(task.cache_policy, "policies", [])
    left_out = {name for policy in policies for name in getattr(policy, "exclude", ())}
    return {name: hint for name, hint in hints.items() if name not in left_out}


def holds_a_path(hint: Any) -> bool:
    """Whether a value of this type may hold a path: a record's fields, a sequence's items."""
    if isinstance(hint, type) and issubclass(hint, PurePath):
        return True
    if is_dataclass(hint) or (isinstance(hint, type) and issubclass(hint, BaseModel)):
        return any(map(holds_a_path, get_type_hints(hint).values()))
    return any(map(holds_a_path, get_args(hint)))


def test_no_path_is_in_a_key() -> None:
    """A path means nothing on another machine, and another file at it is another input."""
    assert holds_a_path(Reference)
    assert holds_a_path(Mapping[str, tuple[Settings, ...]])
    tasks = cached_tasks()
    assert len(tasks) > 30
    named = {
        f"{name}: {field}"
        for name, task in tasks.items()
        for field, hint in keyed(task).items()
        if holds_a_path(hint)
    }
    assert not named


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


def test_a_damaged_result_is_computed_again_and_never_another(
    tmp_path: Path, prefect_home: None
) -> None:
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    count, computed = 40, []

    def square(x: float) -> dict[str, float]:
        computed.append(x)
        return {"square": x * x}

    square.__module__ = "tasks.run.cached"  # its code is part of the key; tests' is not known

    @flow
    def squares() -> list[dict[str, float]]:
        return [cached("square")(square)(x / 7) for x in range(count)]

    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path}):
        first = squares()
        files = sorted(tmp_path.iterdir())
        assert len(files) == len(computed) == count
        for number, file in enumerate(files):
            content = bytearray(file.read_bytes())
            content[len(content) * number // count] ^= 1  # in what was stored, or about it
            damages = {0: b"", 1: content[: len(content) // 2], 2: b"[]"}
            file.write_bytes(damages.get(number, bytes(content)))
        assert squares() == first
        assert 2 * count >= len(computed) > count + 10
        assert squares() == first


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
