"""A name that no registry holds is refused, with those that one does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.run.errors import SettingsError
from tasks.settings.declared import checked
from tasks.settings.fields import read_yaml, yaml_text
from tasks.settings.names import registries, require_known
from tasks.settings.params import load
from tests.tiny import ROOT

PARAMS = ROOT / "params.yaml"


@pytest.mark.parametrize("setting", registries())
def test_an_unknown_name_is_refused_with_the_choices(setting: str, tmp_path: Path) -> None:
    values = read_yaml(PARAMS)
    *sections, name = setting.split(".")
    place = values
    for section in sections:
        place = place[section]
    place[name] = ["best"] if isinstance(place[name], list) else "best"
    (tmp_path / "other.yaml").write_text(yaml_text(values))
    choices = ", ".join(registries()[setting])
    with pytest.raises(SettingsError) as caught:
        checked(tmp_path / "other.yaml")
    assert f"unknown {setting} 'best': choose one of {choices}" in str(caught.value)


def test_every_name_of_a_registry_is_accepted() -> None:
    settings, methods = load(PARAMS), registries()["refinement.method"]
    assert {"wasserstein", "js", "average"} <= set(methods)
    for method in methods:
        recipe = replace(settings.refinement, method=method)
        require_known(settings.model_copy(update={"refinement": recipe}), PARAMS)
