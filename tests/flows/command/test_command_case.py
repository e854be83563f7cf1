"""`--case`: one project, several kinds of data."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flows.command import cli
from flows.command.pipeline import code_of, is_code, with_code
from tasks.experiments.second import write_digits
from tasks.run.errors import SettingsError
from tasks.settings.case import Case
from tasks.settings.declared import stages_of
from tasks.settings.params import load
from tests.tiny import ROOT

FLAGS = ("--source", "image-folder", "--devices", "3", "--clusters", "1", "--yes")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC project with images for a case, as the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n")
    write_digits(tmp_path / "cases/digits/data")
    return tmp_path


def acme(*arguments: str) -> Result:
    return CliRunner().invoke(cli.cli, arguments)


@pytest.mark.parametrize("how", [("--case", "digits", "init"), ("init", "--case", "digits")])
def test_a_case_is_made_in_its_folder_alone(project: Path, how: tuple[str, ...]) -> None:
    done = acme(*how, *FLAGS)
    assert done.exit_code == 0, done.output
    assert done.output == (
        "cases/digits/params.yaml: 1 edge server, 3 devices. Next:\n"
        "  acme --case digits data pin\n"
        "  acme --case digits run\n"
    )
    made = Case(project, "digits")
    assert Path.cwd() == made.folder
    assert load(made.params).data.folder == Path("data")
    assert sorted(p.name for p in project.iterdir()) == [".dvc", "cases"]
    assert (made.folder / ".gitignore").read_text() == "/data/\n/artifacts/\n"
    assert not any(is_code(d) for stage in stages_of(made.pipeline).values() for d in stage["deps"])
    again = acme("init", *FLAGS).exception
    assert "To write over it: acme --case digits init --force" in str(again)


def test_a_case_is_entered_by_its_name_or_its_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert acme("init", "--case", "digits", *FLAGS).exit_code == 0
    inside = acme("check").output
    assert "1 edge server, 3 devices, all settings valid" in inside
    monkeypatch.chdir(project)
    assert acme("--case", "digits", "check").output == inside
    monkeypatch.chdir(project)
    listed = acme("cases").output
    assert "cases/digits/params.yaml" in listed
    assert "to run" in listed


def test_an_unknown_case_is_one_line(project: Path) -> None:
    for name, said in (("nope", "there are: none yet"), ("No!", "give small letters")):
        error = acme("--case", name, "check").exception
        assert isinstance(error, SettingsError)
        assert said in str(error)
    assert Path.cwd() == project


def test_a_case_needs_a_project(project: Path) -> None:
    (project / ".dvc").rename(project / "dvc")
    error = acme("--case", "digits", "init", *FLAGS).exception
    assert isinstance(error, SettingsError)
    assert "git init && dvc init" in str(error)


def test_the_stages_of_a_case_in_a_clone_depend_on_its_code(tmp_path: Path) -> None:
    own, digits = Case(ROOT), Case(ROOT, "digits")
    text = with_code(digits, own.pipeline.read_text())
    (tmp_path / "dvc.yaml").write_text(text)
    for name, stage in stages_of(tmp_path / "dvc.yaml").items():
        code = [d for d in stage["deps"] if is_code(d)]
        assert code == [f"../../{file}" for file in code_of(own, name)]
        assert len(code) > 20
    assert with_code(digits, text) == text
    assert with_code(own, text) == own.pipeline.read_text()
