"""`acme init`: settings for a user's own data, model and fleet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import SettingsError
from tasks.fleet import read_fleet
from tasks.settings import load
from tasks.store import atomic_write

SHIPPED = Path(__file__).parents[1]  # params.yaml and dvc.yaml lie beside the packages
PUBLIC_SHARE = 0.5  # of an image folder's train split that is the cloud's
SIZES = (0.45, 1.0)  # storage limits of a made-up fleet, over the size of the reference model


@dataclass(frozen=True)
class Case:
    """What is special about a user's case; None leaves what params.yaml has."""

    source: str
    data: Path
    image_size: int | None = None
    channels: int | None = None
    model: str | None = None
    checkpoint: Path | None = None
    fleet: Path | None = None
    devices: int | None = None
    clusters: int | None = None
    seed: int = 0


def init(case: Case, out: Path, force: bool) -> None:
    """Write ``params.yaml`` with the shipped file's comments, and ``dvc.yaml`` where there is none.

    Raises:
        SettingsError: a file is there already, or the case is impossible.
    """
    path = out / "params.yaml"
    if path.exists() and not force:
        raise SettingsError(f"{path} is there already. To write over it: acme init --force")
    text = edited((SHIPPED / "params.yaml").read_text(), changes(case))
    kept = path.read_bytes() if path.exists() else None
    atomic_write(path, text.encode())
    try:
        settings = load(path)
    except SettingsError:
        path.unlink() if kept is None else atomic_write(path, kept)
        raise
    if not (out / "dvc.yaml").exists():
        atomic_write(out / "dvc.yaml", stages((SHIPPED / "dvc.yaml").read_text()).encode())
    devices = sum(len(cluster.devices) for cluster in settings.fleet)
    print(f"{path}: {len(settings.fleet)} edge servers, {devices} devices. Next:")
    steps = ["acme data pin", "acme run"]
    steps = steps if case.source == "image-folder" else ["acme data fetch", *steps]
    steps = steps if (out / ".dvc").exists() else ["git init && dvc init", *steps]
    print("\n".join(f"  {step}" for step in steps))


def changes(case: Case) -> dict[str, Any]:
    """The settings that differ from the shipped ones, nested."""
    data: dict[str, Any] = {"source": case.source, "folder": str(case.data)}
    found: dict[str, Any] = {"seed": case.seed, "data": data}
    if case.source == "image-folder":
        images = count_images(case.data)
        data["image_size"], data["channels"] = image_shape(next(iter(images.values()))[0])
        found["partition"] = partition_of(images, _device_count(case))
    elif case.source == "cifar100":
        data |= {"image_size": 32, "channels": 3}
    if case.image_size:
        data["image_size"] = case.image_size
    if case.channels:
        data["channels"] = case.channels
    if case.model:
        found |= of_model(case, data.get("image_size", 28))
    else:
        found["backbone"] = {"reference": {"patch_size": patch_size(data.get("image_size", 28))}}
    if case.fleet:
        found["fleet"] = str(case.fleet)
    elif case.devices:
        found["fleet"] = made_up_fleet(case.devices, case.clusters or 1)
    return found


def count_images(folder: Path) -> dict[str, list[Path]]:
    """The images of each class. Raises DataError if there are no class folders."""
    from tasks.data.sources import class_folders, fetch, image_files

    fetch("image-folder", folder)
    train = folder / "train"
    root = train if train.is_dir() else folder
    return {place.name: image_files(place) for place in class_folders(root)}


def image_shape(path: Path) -> tuple[int, int]:
    """Size of the shorter side and channels (1 grey, 3 colour) of an image."""
    from PIL import Image

    with Image.open(path) as image:
        return min(image.size), 1 if image.mode in ("1", "L", "I;16") else 3


def partition_of(images: Mapping[str, list[Path]], devices: int) -> dict[str, int]:
    """Sizes that this many images allow: half is public, the rest is cut into a part a device and a
    quarter more, so that some can be added later."""
    total = sum(len(files) for files in images.values())
    public, slots = int(PUBLIC_SHARE * 0.8 * total), devices + max(1, devices // 4)
    return {
        "public_train": int(0.8 * public),
        "public_val": int(0.2 * public),
        "public_test": max(1, int(0.1 * total)),
        "samples_per_device": max(10, min(500, int(0.8 * total - public) // slots)),
        "slots": slots,
    }


def patch_size(image_size: int) -> int:
    """The largest divisor of an image's side that leaves at least 4 x 4 patches."""
    return max(p for p in range(1, image_size // 4 + 1) if image_size % p == 0)


def of_model(case: Case, image_size: int) -> dict[str, Any]:
    """Settings of a timm model or a registered one: depths to its own, room for its header."""
    from tasks.reference import is_registered

    reference = {"name": case.model, "pretrained": case.checkpoint is None}
    if case.checkpoint:
        reference["checkpoint"] = str(case.checkpoint)
    if is_registered(case.model):
        return {"backbone": {"reference": reference | {"pretrained": False}}}
    import timm
    import torch

    try:
        with torch.device("meta"):
            model = timm.create_model(str(case.model), img_size=image_size)
        depth, dim = len(model.blocks), int(model.embed_dim)  # type: ignore[arg-type]
    except (RuntimeError, TypeError, AttributeError, AssertionError) as error:
        raise SettingsError(f"--model {case.model}: not a ViT of timm ({error})") from None
    depths = sorted({round(depth * share) for share in (1 / 3, 1 / 2, 2 / 3, 5 / 6, 1)})
    return {
        "backbone": {"reference": reference, "depths": depths, "training": {"lr": 1.0e-4}},
        "matching": {"header_budget": 36000 * max(1, dim // 64)},
    }


def made_up_fleet(devices: int, clusters: int) -> list[dict[str, Any]]:
    """Devices with limits around the shipped reference model's size, to be replaced by real ones
    (`acme profile` measures one)."""
    full = 200_000
    low, high = SIZES
    rows = [
        {
            "id": i,
            "group": i % 4,
            "storage_limit": int(full * (low + (high - low) * i / max(1, devices - 1))),
            "gpu_capacity_watt": 5 + 20 * i // max(1, devices - 1),
            "base_latency_s": round(2.0 - 1.4 * i / max(1, devices - 1), 2),
        }
        for i in range(devices)
    ]
    size = -(-devices // clusters)
    return [
        {"edge": f"edge-{k}", "devices": rows[k * size : (k + 1) * size]}
        for k in range(clusters)
        if rows[k * size : (k + 1) * size]
    ]


def edited(text: str, overlay: Mapping[str, Any]) -> str:
    """A YAML text with the values of ``overlay`` on top and its comments kept."""
    from io import StringIO

    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 120
    content = yaml.load(text)
    _lay(content, overlay)
    written = StringIO()
    yaml.dump(content, written)
    return written.getvalue()


def stages(text: str) -> str:
    """The stages without their dependencies on this project's code, which is installed."""
    import yaml

    content = yaml.safe_load(text)
    for stage in content["stages"].values():
        stage["deps"] = [d for d in stage["deps"] if d.startswith(("artifacts/", "data."))]
    return yaml.safe_dump(content, sort_keys=False)


def _lay(content: Any, overlay: Mapping[str, Any]) -> None:
    for name, value in overlay.items():
        if isinstance(value, Mapping) and isinstance(content.get(name), Mapping):
            _lay(content[name], value)
        else:
            content[name] = value


def _device_count(case: Case) -> int:
    if case.fleet:
        return 1 + max(int(d["id"]) for c in read_fleet(case.fleet) for d in c["devices"])
    return case.devices or 12
