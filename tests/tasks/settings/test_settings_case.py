"""Cases: found by their folder or their name, and never in each other's way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.run.errors import SettingsError
from tasks.settings.case import Case


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC project with settings, and the cases ``digits`` and ``text``, as working folder."""
    (tmp_path / ".dvc").mkdir()
    for folder in ("", "cases/digits", "cases/text", "cases/none"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        if not folder.endswith("none"):
            (tmp_path / folder / "params.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_case_is_known_by_its_folder(project: Path) -> None:
    assert Case.here() == Case(project)
    assert Case.of(Path("cases/digits")) == Case(project, "digits")
    for case in (Case(project), Case(project, "digits")):
        assert Case.of(case.folder) == case
        assert {p.parent for p in (case.params, case.pipeline, case.pin)} == {case.folder}


def test_a_clone_in_a_folder_that_is_called_cases_is_a_project(tmp_path: Path) -> None:
    clone = tmp_path / "cases/acme"
    assert Case.of(clone) == Case(clone)


def test_cases_share_servers_and_nothing_else(project: Path) -> None:
    own, digits = Case(project), Case(project, "digits")
    files = [n for n, v in vars(Case).items() if isinstance(v, property) and n != "label"]
    same = {name for name in files if getattr(own, name) == getattr(digits, name)}
    assert same == {"servers"}
    assert all(getattr(digits, n).is_relative_to(digits.folder) for n in set(files) - same)
    assert (own.label, digits.label) == ("acme", "acme-digits")
    assert (own.key("fleet"), digits.key("fleet")) == ("fleet", "digits-fleet")
    assert digits.command("run") == "acme --case digits run"


def test_a_case_is_entered_and_left_by_its_name(project: Path) -> None:
    with Case.entered("digits") as digits:
        assert Case.here() == digits == Case(project, "digits")
        with Case.entered("text"):
            assert Path.cwd() == project / "cases/text"
        with Case.entered(None) as same:
            assert same == digits
    assert Path.cwd() == project


@pytest.mark.parametrize("name", ["nope", "none"])
def test_an_unknown_case_is_one_line_that_names_those_there_are(project: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=f"no case '{name}' in cases/; there are: digits, text"):
        Case.here().existing(name)


@pytest.mark.parametrize("name", ["../x", "Text", "a b", "-a", "a_b", "my-backbone", "0"])
def test_what_no_case_can_be_called_is_refused(project: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="--case"):
        Case.here().sibling(name)


def test_all_cases_are_those_with_settings(project: Path) -> None:
    assert [case.name for case in Case(project, "text").all()] == [None, "digits", "text"]


def test_paths_are_shown_from_the_project_on(project: Path) -> None:
    digits = Case(project, "digits")
    assert digits.shown(digits.report) == Path("cases/digits/artifacts/report.html")
    assert digits.shown(Path("/elsewhere/a")) == Path("/elsewhere/a")


def test_the_pipeline_s_settings_are_those_of_the_case(project: Path) -> None:
    assert Case(project).reads(Path("params.yaml"))
    assert not Case(project).reads(Path("cases/digits/params.yaml"))
    with Case.entered("digits") as digits:
        assert digits.reads(Path("params.yaml"))
