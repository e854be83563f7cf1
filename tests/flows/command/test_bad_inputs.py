"""Inputs that cannot be: one line that names the thing and the remedy, exit code 2, and what was
there is as before. The inputs are rows of tests/bad_inputs.py and tests/bad_data.py."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from flows.command import cli
from tasks.settings.fields import yaml_text
from tests.bad_data import DATA, LISTS
from tests.bad_inputs import FAST, MACHINE, Bad
from tests.tiny import tiny_params

Acme = Callable[..., str]


def contents(root: Path) -> dict[str, str]:
    """The hash of every file below a folder."""
    files = (p for p in sorted(root.rglob("*")) if p.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


TINY = tiny_params()
TINY["data"]["source"] = "fashion-mnist"  # of which everything is known
TINY_TEXT = yaml_text(TINY)


def changed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The tiny settings with dotted names changed."""
    values = deepcopy(TINY)
    for dotted, value in settings.items():
        *parents, last = dotted.split("__")
        target: Any = values
        for parent in parents:
            target = target[int(parent) if parent.isdecimal() else parent]
        target[last] = value
    return values


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC project with settings and something that a run left."""
    monkeypatch.chdir(tmp_path)
    for name, text in (
        (".dvc/config", "[core]\n    analytics = false\n"),
        ("params.yaml", TINY_TEXT),
        ("artifacts/models/device-00/model.safetensors", "weights"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Acme]:
    """Calls `acme` as a shell does; gives its line, of a command that must be refused."""
    signs = {sign: signal.getsignal(sign) for sign in (signal.SIGINT, signal.SIGTERM)}

    def acme(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["acme", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        error = capsys.readouterr().err
        assert ended.value.code == 2, error
        assert error.startswith("acme: ")
        assert error.count("\n") == 1, error
        assert "Traceback" not in error
        return error

    with patch.dict(os.environ):  # a command sets what its servers need, for itself alone
        yield acme
    for sign, handler in signs.items():
        signal.signal(sign, handler)


def names(said: tuple[str, ...], line: str) -> bool:
    """Whether a line says all words, in their order."""
    at = 0
    for words in said:
        at = line.find(words, at)
        if at < 0:
            return False
    return True


def prepare(bad: Bad, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what a row says to a project."""
    if bad.settings:
        (project / "params.yaml").write_text(yaml_text(changed(bad.settings)))
    for name, content in bad.files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_bytes(content.encode() if isinstance(content, str) else content)
    for name, value in bad.env.items():
        monkeypatch.setenv(name, value)
    if bad.before:
        bad.before()


INPUTS = FAST | DATA | LISTS


@pytest.mark.parametrize("name", INPUTS)
def test_a_bad_input_is_one_line_and_loses_nothing(
    name: str, project: Path, refusal: Acme, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = INPUTS[name]
    prepare(bad, project, monkeypatch)
    before = contents(project)
    line = refusal(*bad.arguments.split())
    assert names(bad.said, line), line
    assert contents(project) == before
    assert not [p for p in (project / "cases").glob("*/") if not any(p.iterdir())]


WRITERS = {
    "init": ("init --force --source fashion-mnist --yes", "params.yaml"),
    "pin": ("data pin", "data.sha256"),
    "a server's home": ("stage partition", ".acme/prefect"),
}


@pytest.mark.parametrize("what", MACHINE)
@pytest.mark.parametrize("writer", WRITERS)
def test_so_is_what_the_machine_says(
    writer: str, what: str, project: Path, refusal: Acme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of any file; a test's user may be root, who may write everywhere."""
    number, said = MACHINE[what]
    (project / "data").mkdir()
    (project / "data/a.png").touch()
    make_folder, open_file = Path.mkdir, os.open

    def fail(path: Any, *arguments: Any, **options: Any) -> Any:
        if Path(path).name.startswith((".params.yaml", ".data.sha256", "prefect")):
            raise OSError(number, os.strerror(number), str(path))
        made = open_file if isinstance(path, str) else make_folder
        return made(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", fail)
    monkeypatch.setattr(os, "open", fail)
    before = contents(project)
    arguments, file = WRITERS[writer]
    line = refusal(*arguments.split())
    assert names((file, said), line), line
    assert contents(project) == before


def test_the_project_may_be_called_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tasks.setup.check import check

    for name in ("50%25 off", "é#?x=1", "a b\tc", "-x", "[a]*"):
        root = tmp_path / name
        root.mkdir()
        monkeypatch.chdir(root)
        Path("params.yaml").write_text(TINY_TEXT)
        assert len(check(Path("params.yaml")).settings.devices) == 4


def test_who_reads_the_output_may_go(project: Path) -> None:
    command = [sys.executable, "-m", "flows.command.cli", "--help"]
    done = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.stdout
    assert done.stderr
    done.stdout.close()
    assert done.stderr.read() == b""
    assert done.wait() == 1


def test_there_are_many_of_them() -> None:
    assert len(INPUTS) > 150
