"""`acme data` of texts: they and their encoder are fetched, pinned and checked as images are."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.command import cli
from tasks.run.errors import DataError
from tasks.settings.fields import read_yaml, yaml_text
from tests.debian_lists import write_lists
from tests.encoders import tiny_encoder

ROOT = Path(cli.__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC project whose settings are of texts, to be had from folders beside it."""
    write_lists(tmp_path / "lists")
    root = tmp_path / "project"
    shutil.copytree(ROOT / ".dvc", root / ".dvc", ignore=lambda _, names: {*names} - {"config"})
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    settings = read_yaml(ROOT / "params.yaml")
    settings["data"] |= {
        "source": "package-descriptions",
        "origin": str(tmp_path / "lists"),
        "encoder": str(tiny_encoder(tmp_path / "encoder")),
        "sensors": [],
    }
    settings["partition"]["public_contexts"] = None
    (root / "params.yaml").write_text(yaml_text(settings))
    monkeypatch.chdir(root)
    return root


def acme(*words: str) -> str:
    return CliRunner().invoke(cli.cli, ["data", *words], catch_exceptions=False).output


def test_texts_are_fetched_and_pinned_with_their_encoder(project: Path) -> None:
    with pytest.raises(
        DataError, match=r"the archive has moved on .* Other texts: da 72 for 20,335"
    ):
        acme("fetch", "--strict")
    moved_on, unpinned = acme("fetch").splitlines()
    assert moved_on.startswith("package-descriptions: the archive has moved on")
    assert unpinned == "data is there, but not pinned. To accept it: acme data pin"
    acme("pin")
    assert acme("fetch") == ""  # what is pinned is accepted
    assert acme("verify").endswith(" as pinned\n")
    listed = (project / "data.sha256").read_text()
    for name in ("de.parquet", "encoder/model.safetensors", "encoder/tokenizer.json"):
        assert f"  {name}\n" in listed
        content = (project / "data" / name).read_bytes()
        (project / "data" / name).write_bytes(content[:-1] + b"?")
        with pytest.raises(DataError, match=f"{name} is damaged or tampered with"):
            acme("fetch")
        (project / "data" / name).unlink()
        acme("fetch")
        assert (project / "data" / name).read_bytes() == content
