"""A reader who does what docs/extending.md says gets what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import ROOT, followed, new_files, sections, split

CHECKS = "tests/extended.py"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return followed(tmp_path_factory.mktemp("extended"))


def call(copy: Path, *command: str) -> subprocess.CompletedProcess[str]:
    python = [sys.executable, "-m", *command]
    env = {**os.environ, "PYTHONPATH": str(copy)}
    return subprocess.run(python, cwd=copy, env=env, capture_output=True, text=True, check=False)


def test_each_addition_is_one_new_file_and_one_line_and_is_checked() -> None:
    checks = set(re.findall(r"^def (test_\w+)\(", (ROOT / CHECKS).read_text(), re.M))
    assert checks == {"test_" + heading.lower().replace(" ", "_") for heading in sections()}
    for heading, (file, line) in sections().items():
        assert file.registry is None, heading
        assert line.registry is not None, heading
        assert split(line.code)[1].count("\n") == 1, heading


def test_each_addition_does_what_the_page_says(copy: Path) -> None:
    done = call(copy, "pytest", "-p", "no:cacheprovider", CHECKS)
    assert done.returncode == 0, done.stdout
    assert f"{len(sections())} passed" in done.stdout


def test_the_page_s_files_are_in_the_house_s_style(copy: Path) -> None:
    for command in (["check"], ["format", "--check"]):
        done = call(copy, "ruff", *command, *new_files())
        assert done.returncode == 0, done.stdout + done.stderr


def test_without_them_the_checks_fail() -> None:
    done = call(ROOT, "pytest", "-p", "no:cacheprovider", CHECKS)
    assert f"{len(sections())} failed" in done.stdout
