"""What somebody else registered runs no code here: it is refused by name before it is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from torch import nn

from flows.command.delivery import export_device, find_device, serving_device
from flows.command.promotion import promote_fleet
from tasks.cloud.reference import reference_model, take_checkpoint
from tasks.cloud.registered import bring
from tasks.data.modality import ImageInfo, to_json
from tasks.delivery.shipped import load_shipped
from tasks.run.errors import AcmeError, RegistryError, SettingsError
from tasks.run.files import sha256_of, write_json
from tasks.run.store import encode
from tasks.run.written import write_sums
from tasks.settings.fields import yaml_text
from tasks.settings.params import load
from tasks.tracking.logged import Entry
from tasks.tracking.registry import CHALLENGER, CHAMPION, REASON, Registry
from tests.constant import BACKBONE, HEADER, constant
from tests.tiny import tiny_params

MODEL, MARKER, PARAMS = "acme-device-00", "it-ran", Path("params.yaml")


class Evil(nn.Module):
    """Unpickled, it leaves a file."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.flatten(1).sum(1, keepdim=True)

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(MARKER),)


def commands() -> dict[str, Callable[[], object]]:
    """Everything that takes a model from the registry."""

    def serve() -> None:
        with serving_device(find_device(load(PARAMS), "0"), 1):
            pass

    return {
        "promote": lambda: promote_fleet(PARAMS, ["0"]),
        "export": lambda: export_device("0", "safetensors", False, Path("out"), PARAMS),
        "serve": serve,
        "reference": lambda: bring.fn(f"models:/{MODEL}@{CHAMPION}", Path()),
    }


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A project with a device's samples and a fresh store, as the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    PARAMS.write_text(yaml_text(tiny_params()))
    samples = Path("artifacts/partition/samples/device-00.safetensors")
    samples.parent.mkdir(parents=True)
    images = torch.zeros(4, 1, 2, 2, dtype=torch.uint8)
    samples.write_bytes(encode({"val_images": images, "val_labels": torch.tensor([1, 1, 1, 2])}))
    info = ImageInfo("test", ("a", "b", "c"), 2, 1, (0.5,), (0.5,))
    write_json(Path("artifacts/partition/data.json"), to_json(info))
    write_sums(Path("artifacts/partition"))
    return Registry(tmp_path)


def with_both_aliases(registry: Registry, number: str) -> None:
    for alias in (CHALLENGER, CHAMPION):
        registry.client.set_registered_model_alias(MODEL, alias, number)


def test_nothing_of_what_others_registered_runs_or_is_opened(registry: Registry) -> None:
    state = constant(Path(), 1).file
    for number, beside in (("1", []), ("2", [str(state)])):  # a good state beside it helps nothing
        with mlflow.start_run():
            mlflow.pytorch.log_model(
                Evil(),
                name="model",
                registered_model_name=MODEL,
                serialization_format="pickle",
                pip_requirements=["torch"],
                extra_files=beside,
            )
        registry.client.set_model_version_tag(MODEL, number, "sha256", sha256_of(state))
        with_both_aliases(registry, number)
        for name, command in commands().items():
            with pytest.raises(
                RegistryError, match=rf"{MODEL} version {number} holds data/model.pth,"
            ):
                command()
            assert not Path(MARKER).exists(), name
        held = registry.find(MODEL, CHALLENGER)
        assert held is not None
        assert held.tags[REASON].startswith("refused: ")

    run = registry.client.create_run("0").info.run_id
    module, example = load_shipped(state), torch.zeros(2, 1, 2, 2)
    entry = Entry(module, example, run, sha256_of(state), {}, "", [state], {})
    for number in ("1", "2"):
        registry.client.set_model_version_tag(MODEL, number, "sha256", "another")
    with_both_aliases(registry, registry.register(MODEL, entry).number)
    [mine] = Path().rglob("model.pt2")
    pickled = next(Path().rglob("model.pth"))
    mine.write_bytes(pickled.read_bytes())
    [decision] = promote_fleet(PARAMS, ["0"])
    assert decision.promoted, "the archive beside the state is not opened"
    assert not Path(MARKER).exists()

    [kept] = mine.parents[1].rglob("*.safetensors")
    kept.write_bytes(constant(Path(), 2).file.read_bytes())
    for name in ("export", "serve", "reference"):
        with pytest.raises(RegistryError, match="is not the file that was registered"):
            commands()[name]()

    with pytest.raises(AttributeError):  # it makes no module of what it ran
        mlflow.pytorch.load_model(f"models:/{MODEL}/1")
    assert Path(MARKER).exists(), "this is what MLflow's own loader does with it"


def test_a_state_that_describes_no_model_of_ours_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    shape = BACKBONE.to_dict()
    wrong = [
        {},
        [],
        "x",
        {**shape, "dim": 1 << 40},
        {**shape, "heads": True},
        {**shape, "depth": 2},
    ]
    for config in ({}, *({"backbone": backbone, "header": HEADER.to_dict()} for backbone in wrong)):
        file.write_bytes(encode({"0.mean": torch.zeros(1)}, config))
        with pytest.raises(AcmeError, match=r"model\.safetensors: no model of ours"):
            load_shipped(file)


@pytest.mark.parametrize("name", [None, "vit_tiny_patch16_224"])
def test_a_checkpoint_that_runs_code_is_refused(
    name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Evil()}, "weights.pth")
    spec = load(Path(__file__).parents[3] / "params.yaml").backbone.reference
    info = ImageInfo("test", ("a", "b", "c"), 28, 1, (0.5,), (0.5,))
    with pytest.raises(SettingsError, match=r"backbone\.reference"):
        reference_model(
            spec.model_copy(update={"name": name}), info, 0, take_checkpoint(Path("weights.pth"))
        )
    assert not Path(MARKER).exists()
    torch.load("weights.pth", weights_only=False)
    assert Path(MARKER).exists(), "this is what an unpickler does with it"
