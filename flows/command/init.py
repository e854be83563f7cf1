"""`acme init`: settings for a user's own data, model and fleet."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import click
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from flows.command.pipeline import holds_code, is_code, with_code
from tasks.cloud.registered import is_registered
from tasks.data.encoder import MINILM
from tasks.run.errors import AcmeError, SettingsError
from tasks.run.files import atomic_write
from tasks.run.words import counted
from tasks.servers.services import use_registry
from tasks.settings.case import Case
from tasks.settings.declared import named_files, reads
from tasks.settings.fields import read_yaml
from tasks.settings.params import load
from tasks.settings.sources import SOURCES
from tasks.setup.check import look
from tasks.setup.defaults import (
    CLUSTERS,
    DEVICES,
    SHIPPED,
    Wishes,
    changes,
    listed_in,
    manifest_in,
    whole_of,
)
from tasks.setup.subproject import make_subproject
from tasks.setup.texts import prove


def asked(given: Mapping[str, Any], quiet: bool) -> Wishes:
    """What flags say; what they leave open is asked for, or taken as usual where ``quiet``.

    Raises:
        UsageError: nobody is there to answer; names the flags that are missing.
    """
    try:
        return _asked(given, quiet)
    except click.Abort:
        if sys.stdin.isatty():
            raise  # Ctrl-C
    print()  # ends the line of the question
    needed = ["source", "data", "model", *(["devices", "clusters"] if not given["fleet"] else [])]
    missing = [f"--{name}" for name in needed if given[name] is None]
    raise click.UsageError(
        f"nobody answers here: give {', '.join(missing)}, or --yes for what is usual."
    )


def _asked(given: Mapping[str, Any], quiet: bool) -> Wishes:
    wishes = dict(given)

    def ask(name: str, words: str, usual: Any, kind: Any = None) -> None:
        if wishes[name] is None:
            wishes[name] = usual if quiet else click.prompt(words, default=usual, type=kind)

    listed = manifest_in(wishes["data"] or Path("data"))
    ask("source", "Data set", "manifest" if listed else next(iter(SOURCES)), click.Choice(SOURCES))
    ask("data", "Its folder", Path("data"), click.Path(path_type=Path))
    if whole_of(wishes["source"]) is not None:
        return Wishes(**wishes | {"model": None if wishes["model"] == "none" else wishes["model"]})
    found = listed_in(wishes["source"], wishes["data"], wishes["fleet"])
    if found and found.kind == "text":
        ask("model", "An encoder: a folder, or a name on the hub", MINILM)
    else:
        ask("model", "A timm ViT or DeiT, models:/NAME@ALIAS, or none for a small ViT", "none")
    made_up = wishes["fleet"] is None and wishes["devices"] is None
    if made_up and not quiet:
        answer = click.prompt("A fleet file, YAML or CSV, or none to make devices up", "none")
        wishes["fleet"] = None if answer == "none" else Path(answer)
    owners = found.devices if found else {}
    if wishes["fleet"] is None:
        if not owners:
            ask("devices", "How many devices", DEVICES, click.IntRange(1))
        usual = min(CLUSTERS, wishes["devices"] or len(owners))
        ask("clusters", "In how many clusters", usual, click.IntRange(1))
    wishes["model"] = None if wishes["model"] == "none" else wishes["model"]
    return Wishes(**wishes)


def init(case: Case, wishes: Wishes, force: bool) -> None:
    """Write ``params.yaml`` with the shipped file's comments; ``dvc.yaml`` and ``.gitignore`` where
    there are none, and the DVC project of a further case.

    Raises:
        SettingsError: a file is there already, or a wish is impossible; then nothing is written.
    """
    path, shown = case.params, case.shown(case.params)
    if path.exists() and not force:
        how = case.command("init --force")
        raise SettingsError(f"{shown} is there already. To write over it: {how}")
    wishes = replace(wishes, data=below(wishes.data, case.folder))
    if is_registered(wishes.model):
        use_registry(case)  # MLflow draws a bar a file unless it is told not to
    template = SHIPPED / "settings.yaml"  # in a clone it is the project's own file, as it is now
    values = read_yaml(template)
    if not isinstance(values, Mapping):
        raise SettingsError(f"{template.resolve()}: no settings by name: restore it first")
    written = edited(template.read_text(), changes(wishes, values))
    kept = path.read_bytes() if path.exists() else None
    atomic_write(path, written.encode())
    try:
        settings = load(path)
        look(settings, path)
        prove(settings)
    except AcmeError:
        path.unlink() if kept is None else atomic_write(path, kept)
        raise
    for name, content in (
        ("dvc.yaml", stages(case, YAML(typ="safe").load(written))),
        (".gitignore", ignored(case, wishes.data)),
    ):
        if not (case.folder / name).exists():
            atomic_write(case.folder / name, content.encode())
    if case.name:
        make_subproject(case)
    edges = counted(len(settings.fleet), "edge server")
    devices = counted(len(settings.devices), "device")
    print(f"{shown}: {edges}, {devices}. Next:")
    print("\n".join(f"  {step}" for step in steps(case, wishes)))


def below(data: Path, folder: Path) -> Path:
    """The data's folder as it is called in the case's.

    Raises:
        SettingsError: it lies elsewhere, or cannot be pinned.
    """
    here, place = folder.resolve(), data.resolve()
    if place == here or not place.is_relative_to(here):
        raise SettingsError(
            f"--data {data}: DVC pins what lies below this folder ({folder}); move it in"
        )
    if data.exists() and not data.is_dir():
        raise SettingsError(f"--data {data}: no folder. Name the one that holds the data")
    if not str(place).isprintable():
        raise SettingsError(f"--data {str(data)!a}: rename it without the odd characters")
    return place.relative_to(here)


def steps(case: Case, wishes: Wishes) -> list[str]:
    """The commands that come after ``acme init``."""
    repository = [] if (case.folder / ".dvc").exists() else ["git init && dvc init"]
    fetch = [] if SOURCES[wishes.source].brought else ["data fetch"]
    return [*repository, *(case.command(words) for words in (*fetch, "data pin", "run"))]


def edited(text: str, overlay: Mapping[str, Any]) -> str:
    """A YAML text with the values of ``overlay`` on top and its comments kept."""
    yaml = _yaml()
    content = yaml.load(text)
    _lay(content, overlay)
    return _dumped(yaml, content)


def stages(case: Case, values: Mapping[str, Any]) -> str:
    """The shipped stages, with dependencies on files that the settings name, and on the code where
    the case lies in a clone of it (else it is installed)."""
    yaml = _yaml()
    content = yaml.load((SHIPPED / "stages.yaml").read_text())
    named = named_files(values)
    for name, stage in content["stages"].items():
        own = [d for d in stage["deps"] if not is_code(d)]
        stage["deps"] = own + [file for of, file in named if reads(name, of)]
    text = _dumped(yaml, content)
    return with_code(case, text) if holds_code(case) else text


def ignored(case: Case, data: Path) -> str:
    """What git leaves to DVC, to MLflow and to the next run."""
    servers = [] if case.name else [".acme", "mlflow"]
    literal = re.sub(r"([\\*?\[\] ])", r"\\\1", data.as_posix())
    return "".join(f"/{name}/\n" for name in (literal, "artifacts", *servers))


def _yaml() -> YAML:
    yaml = YAML()
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), _null)  # else an empty value, which reads odd
    return yaml


def _null(representer: Any, _: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def _dumped(yaml: YAML, content: Any) -> str:
    written = StringIO()
    yaml.dump(content, written)
    return written.getvalue()


def _lay(content: Any, overlay: Mapping[str, Any]) -> None:
    for name, value in overlay.items():
        if isinstance(value, Mapping) and isinstance(content.get(name), Mapping):
            _lay(content[name], value)
        else:
            content[name] = _styled(value)


def _styled(value: Any) -> Any:
    """A list of numbers and a device on one line each, as in the shipped file."""
    if not isinstance(value, list | dict):
        return value
    styled: Any
    if isinstance(value, dict):
        styled = CommentedMap((name, _styled(item)) for name, item in value.items())
        inner = list(value.values())
    else:
        styled, inner = CommentedSeq(map(_styled, value)), value
    if not any(isinstance(item, list | dict) for item in inner):
        styled.fa.set_flow_style()
    return styled
