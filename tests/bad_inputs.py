"""Inputs that cannot be: what is done to a small project, the command, and what its one line says.
(tests/flows/command/test_bad_inputs.py)"""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

INF, NAN = float("inf"), float("nan")
HEAD = "id,storage_limit,gpu_capacity_watt,base_latency_s\n"
ROW = "0,9000,5,1\n"
LARGE = {"id": 0, "storage_limit": 10**7, "gpu_capacity_watt": 5, "base_latency_s": 1}
Before = Callable[[], object]


@dataclass(frozen=True)
class Bad:
    """A command, and what is done before: to settings (dotted names, ``__`` for a dot), to files,
    to the environment, and to anything else. ``said`` are words of its line, in their order."""

    arguments: str
    said: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    before: Before | None = None


def check(said: str, **settings: Any) -> Bad:
    """Settings that `acme check` refuses; ``said`` between bars."""
    return Bad("check", tuple(said.split("|")), settings)


def fleet(name: str, text: str | bytes, said: str) -> Bad:
    """A fleet's file."""
    return Bad("check", tuple(said.split("|")), {"fleet": name}, {name: text})


def weights(payload: bytes, said: str, **settings: Any) -> Bad:
    """A checkpoint."""
    named = {"backbone__reference__checkpoint": "w.pth", **settings}
    return Bad("check", tuple(said.split("|")), named, {"w.pth": payload})


def given(arguments: str, said: str, files: Mapping[str, str | bytes] | None = None) -> Bad:
    """A command, in a project with further files."""
    return Bad(arguments, tuple(said.split("|")), files=files or {})


def after(before: Before, arguments: str, said: str) -> Bad:
    """A command in a project to which something was done."""
    return Bad(arguments, tuple(said.split("|")), before=before)


def saved(state: Any) -> bytes:
    """What ``torch.save`` writes."""
    written = io.BytesIO()
    torch.save(state, written)
    return written.getvalue()


class Runs:
    """What runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("ran"),))


SETTINGS: dict[str, Bad] = {
    "unknown fixed header": check("edge.fixed 'foo'|choose one of linear", edge__fixed=["foo"]),
    "unknown operation": check("edge.operations 'conv9'|choose", edge__operations=["conv9"]),
    "an operation twice": check("conv1 stands there more", edge__operations=["conv1", "conv1"]),
    "a fixed header twice": check("fixed: mlp stands there more", edge__fixed=["mlp", "mlp"]),
    "no operation": check("edge.operations|at least 1", edge__operations=[]),
    "a million blocks": check("edge.blocks|less than or equal to 256", edge__blocks=10**6),
    "unknown source": check("data.source 'foo'|choose one of image-folder", data__source="foo"),
    "a rim of pixels": check(
        "data.image_size: 9|multiple|give 8 or 10",
        data__image_size=9,
    ),
    "a patch larger than the image": check(
        "data.image_size: 8|give 16", backbone__reference__patch_size=16
    ),
    "no pixels": check("data.image_size|greater than or equal to 1", data__image_size=0),
    "two channels": check("data.channels|1 or 3", data__channels=2),
    "no number": check("data.test_fraction", data__test_fraction=NAN),
    "a manifest of another kind": check("a file of CSV or parquet", data__manifest="list.xlsx"),
    "a manifest elsewhere": check("below data.folder", data__manifest="../list.csv"),
    "a folder that nothing can be called": check("data.folder|no file", data__folder="a\0b"),
    "the project as data": check("data.folder: .|a folder of their own", data__folder="."),
    "a file as data": check("data.folder: params.yaml|no folder", data__folder="params.yaml"),
    "a seed of 33 bits": check("seed|less than 4294967296", seed=2**32),
    "a seed of 71 bits": check("seed|less than 4294967296", seed=2**70),
    "a negative seed": check("seed|greater than or equal to 0", seed=-1),
    "yes as seed": check("seed: a number is needed, not true", seed=True),
    "a million threads": check("threads|less than or equal to 1024", threads=10**6),
    "another processor": check("compute|'auto', 'cpu' or 'cuda'", compute="tpu"),
    "alpha without end": check("dirichlet_alpha|less than", partition__dirichlet_alpha=INF),
    "alpha of nothing": check("dirichlet_alpha|greater", partition__dirichlet_alpha=1e-300),
    "more public samples than there are": check(
        "partition.public_train + public_val: 1,000,100 of 60,000|lower it",
        partition__public_train=1_000_000,
    ),
    "more public test samples": check(
        "partition.public_test: 10,000 of 10,000 test|lower it", partition__public_test=10_000
    ),
    "more samples a device than there are": check(
        "samples_per_device: 100,000|leave 69,300|lower it",
        partition__samples_per_device=100_000,
    ),
    "no sample to validate": check(
        "leaves 60 + 0 + 40|give each split one", partition__val_fraction=0.001
    ),
    "no test split": check("nothing for the test split", partition__train_fraction=0.9),
    "fewer unseen classes than none": check(
        "partition.unseen_classes|greater than or equal to 0", partition__unseen_classes=-1
    ),
    "more unseen classes than classes": check(
        "partition.unseen_classes: 11, but of 10 classes|give 8 at most",
        partition__unseen_classes=11,
    ),
    "unseen classes of nothing": check(
        "unseen_classes 1: with samples_per_device 0|in the fleet (wanted)",
        partition__unseen_classes=1,
        partition__samples_per_device=0,
    ),
    "a class wanted twice": check(
        "wanted|a stands there more than once",
        fleet__0__devices__0__wanted=["a", "a"],
    ),
    "more parts than there are images": check(
        "class 0 has 6,000 distinct images|20,001 would do|slots: null",
        partition__slots=10_000,
    ),
    "a billion parts": check("partition.slots|less than", partition__slots=10**9),
    "no width": check("backbone.widths|at least 1", backbone__widths=[]),
    "a width beyond 1": check("backbone.widths.0|less than or equal to 1", backbone__widths=[2]),
    "a width twice": check("widths: 0.5 stands", backbone__widths=[0.5, 0.5]),
    "a depth twice": check("depths: 1 stands", backbone__depths=[1, 1]),
    "a depth of nothing": check("backbone.depths.0|greater", backbone__depths=[0]),
    "deeper than the reference": check("depths [1, 9]|2 layers", backbone__depths=[1, 9]),
    "unknown depth strategy": check("depth_strategy|'first'", backbone__depth_strategy="last"),
    "a rate without end": check("training.lr|less than", backbone__training__lr=INF),
    "a rate of 1e300": check("training.lr|less than", backbone__training__lr=1e300),
    "a decay that is no number": check("weight_decay", backbone__training__weight_decay=NAN),
    "a loss without end": check(
        "logits_weight|less than", backbone__distillation__logits_weight=INF
    ),
    "no neuron": check("leaves no neuron", backbone__reference__mlp_ratio=1e-9),
    "a dimension of a billion": check("reference.dim|less than", backbone__reference__dim=10**9),
    "odd heads": check("not a multiple of heads", backbone__reference__heads=3),
    "no ViT": check(
        "resnet18 cannot be used: it is a ResNet", backbone__reference__name="resnet18"
    ),
    "no model of timm's": check("timm has no model ''", backbone__reference__name=""),
    "no weights by that name": check(
        "no weights 'foo' of vit_tiny_patch16_224: choose one of augreg_in21k_ft_in1k, aug",
        backbone__reference__name="vit_tiny_patch16_224.foo",
    ),
    "no tag behind the dot": check(
        "no weights '' of vit_tiny_patch16_224: choose",
        backbone__reference__name="vit_tiny_patch16_224.",
    ),
    "weights that nobody trained": check(
        "no weights of vit_giant_patch14_224: set pretrained to false",
        backbone__reference__name="vit_giant_patch14_224",
        backbone__reference__pretrained=True,
        data__image_size=28,
    ),
    "patches that do not fit": check(
        "data.image_size: 40 is no multiple of the patches' 16|give 32 or 48|other patches",
        backbone__reference__name="vit_tiny_patch16_224",
        data__image_size=40,
    ),
    "a pooling with weights": check(
        "vit_base_patch16_siglip_224 cannot be used: it has attention pooling",
        backbone__reference__name="vit_base_patch16_siglip_224",
        data__image_size=32,
    ),
    "no final norm": check(
        "vit_base_patch16_radio_v3 cannot be used: it has no final norm",
        backbone__reference__name="vit_base_patch16_radio_v3",
        data__image_size=32,
    ),
    "a network before the patches": check(
        "vit_tiny_r_s16_p8_224 cannot be used: it has HybridEmbed instead of PatchEmbed",
        backbone__reference__name="vit_tiny_r_s16_p8_224",
        data__image_size=32,
    ),
    "no model of the registry's": check("models:/NAME@ALIAS", backbone__reference__name="models:/"),
    "hub weights of nothing": check("pretrained needs", backbone__reference__pretrained=True),
    "no checkpoint there": check(
        "no file nowhere.pth", backbone__reference__checkpoint="nowhere.pth"
    ),
    "unknown rule": check("matching.method 'foo'|choose", matching__method="foo"),
    "a window of nothing": check("performance_window", matching__performance_window=1e-300),
    "a budget beyond every device": check(
        "north|7,500|header_budget (1,000,000)|raise its storage_limit",
        matching__header_budget=1_000_000,
    ),
    "a budget for no header": check("header_budget: 1 |170|raise it", matching__header_budget=1),
    "energy without end": check("energy.power_growth|less", matching__energy__power_growth=INF),
    "epochs of 400 digits": check("energy.epochs", matching__energy__epochs=10**400),
    "unknown exchange": check("refinement.exchange 'all'|choose", refinement__exchange="all"),
    "statistics of nothing public": check(
        "edge.public_features: 0|statistics|another refinement.exchange", edge__public_features=0
    ),
    "unknown ranking": check("refinement.prune_by 'foo'|choose", refinement__prune_by="foo"),
    "unknown mixer": check("refinement.method 'foo'|choose", refinement__method="foo"),
    "a quorum of more than all": check("quorum|less than or equal to 1", refinement__quorum=1.5),
    "a deadline without end": check("deadline_s|less than", refinement__deadline_s=INF),
    "everything pruned": check("prune_fraction|less than 1", refinement__prune_fraction=1.0),
    "a section too few": check("data|valid dictionary", data=None),
    "an unknown name": check("edge.colour", edge__colour=1),
    "no fleet": check("fleet|at least 1", fleet=[]),
    "infinite watts": check(
        "gpu_capacity_watt|less than", fleet__0__devices__0__gpu_capacity_watt=INF
    ),
    "yes as watts": check(
        "gpu_capacity_watt: a number is needed", fleet__0__devices__0__gpu_capacity_watt=True
    ),
    "latency that is no number": check(
        "base_latency_s|less than", fleet__0__devices__0__base_latency_s=NAN
    ),
    "a limit of 1e99 GB": check(
        "storage_limit|less", fleet__0__devices__0__storage_limit="1e99 GB"
    ),
    "a limit in words": check("give a storage limit", fleet__0__devices__0__storage_limit="much"),
    "a limit of nothing": check("storage_limit|greater", fleet__0__devices__0__storage_limit=0),
    "a limit that nothing fits": check(
        "north|10 parameters|raise", fleet__0__devices__0__storage_limit=10
    ),
    "a device twice": check("device id 1 appears more", fleet__0__devices__0__id=1),
    "a device beyond the parts": check("partition.slots > 99", fleet__0__devices__0__id=99),
    "an edge twice": check("edge south appears more", fleet__0__edge="south"),
    "an edge called cloud": check("'cloud'|another name", fleet__0__edge="cloud"),
    "an edge called like a path": check("fleet.0.edge|match", fleet__0__edge="../x"),
    "an edge of 300 letters": check("fleet.0.edge|match", fleet__0__edge="a" * 300),
}

YAML: dict[str, Bad] = {
    name: given("check", said, {"params.yaml": text})
    for name, text, said in (
        ("not YAML", "a: [", "params.yaml: not YAML"),
        ("an empty file", "", "params.yaml: expected settings by name"),
        ("a list", "- 1\n- 2\n", "params.yaml: expected settings by name"),
        ("a word", "words", "params.yaml: expected settings by name"),
        ("a name twice", "seed: 1\nseed: 2\n", 'duplicate key "seed"'),
        ("a number for a name", "1: 2\n", "params.yaml: seed: Field required|and 6 more"),
        ("bytes", b"\xff\xfe\x00a", "params.yaml: not YAML"),
        ("a 13th month", "seed: 2020-13-45\n", "params.yaml: not YAML|month"),
        ("a thousand brackets", "a: " + 5000 * "[", "params.yaml: not YAML"),
        ("a number of 5,000 digits", "seed: " + 5000 * "9", "params.yaml: not YAML|digits"),
        ("code", "seed: !!python/object/apply:os.getcwd []\n", "params.yaml: not YAML"),
        ("a list in itself", "fleet: &a [*a]\n", "params.yaml: seed: Field required|more"),
    )
} | {
    "no settings": given(
        "check --params nowhere.yaml", "nowhere.yaml: No such file|Check the path"
    ),
    "a folder of settings": given("check --params artifacts", "artifacts: Is a directory"),
    "a name of 300 letters": given(f"check --params {300 * 'a'}", "File name too long"),
}

FLEETS: dict[str, Bad] = {
    "no fleet's file": check("none.csv: No such file|Check the path", fleet="none.csv"),
    "a folder as fleet": check(".: Is a directory", fleet="."),
    "an empty CSV": fleet("f.csv", "", "f.csv: expected a list"),
    "a head alone": fleet("f.csv", HEAD, "f.csv: expected a list"),
    "a column twice": fleet("f.csv", f"id,{HEAD}0,{ROW}", "line 1: column id stands there more"),
    "an unknown column": fleet("f.csv", f"x,{HEAD}0,{ROW}", "f.csv, line 2: x"),
    "a value too many": fleet("f.csv", f"{HEAD}0,9000,5,1,7\n", "line 2: more values"),
    "a value too few": fleet("f.csv", f"{HEAD}0,9000,5\n", "line 2: base_latency_s"),
    "an infinite value": fleet("f.csv", f"{HEAD}0,9000,inf,1\n", "line 2: gpu_capacity_watt"),
    "a value that is no number": fleet("f.csv", f"{HEAD}0,9000,5,nan\n", "line 2: base_latency_s"),
    "a comma in a limit": fleet("f.csv", f'{HEAD}0,"1,5 MB",5,1\n', "line 2: storage_limit"),
    "CSV with a NUL": fleet("f.csv", f"{HEAD}\0{ROW}", "f.csv, line 2"),
    "CSV of bytes": fleet("f.csv", b"\xff\xfe\xfa", "f.csv: not a text file in UTF-8"),
    "an id twice": fleet("f.csv", HEAD + ROW + ROW, "device id 0 appears more than once"),
    "half of the edges": fleet("f.csv", f"edge,{HEAD}a,{ROW},1,9000,5,1\n", "name all or none"),
    "a fleet that is no YAML": fleet("f.yaml", "- {id: ", "f.yaml: not YAML"),
    "a fleet of words": fleet("f.yaml", "words", "f.yaml: expected a list"),
    "a fleet's name twice": fleet("f.yaml", "- {id: 0, id: 1}", "f.yaml: not YAML|duplicate"),
    "a fleet in a fleet": fleet("f.yaml", "- [1]", "f.yaml, line 1: expected a device"),
    "clusters by the thousand": fleet(
        "f.yaml",
        "clusters: 1000\ndevices: [{id: 0, storage_limit: 9000, gpu_capacity_watt: 5, "
        "base_latency_s: 1}]",
        "1000 clusters of 1 devices",
    ),
    "yes as clusters": fleet("f.yaml", "clusters: yes\ndevices: [{id: 0}]", "f.yaml, line 2"),
}

CHECKPOINTS: dict[str, Bad] = {
    "words as weights": weights(b"hello", "checkpoint: not weights as|give another file"),
    "an empty file of weights": weights(b"", "checkpoint: not weights as"),
    "truncated weights": weights(saved({"a": torch.zeros(9)})[:200], "checkpoint: not weights"),
    "a truncated safetensors": weights(b"\x10\0\0\0\0\0\0\0{", "checkpoint: not weights"),
    "weights that run": weights(saved({"a": Runs()}), "checkpoint: not weights"),
    "no tensors": weights(saved({}), "holds no tensors by name"),
    "a list of numbers": weights(saved([1, 2]), "checkpoint: "),
    "another model's weights": weights(
        saved({"a": torch.zeros(3)}), "the file is of another model|a"
    ),
    "not that timm model's weights": weights(
        saved({"a": torch.zeros(3)}),
        "not of vit_tiny_patch16_224: it has no cls_token",
        backbone__reference__name="vit_tiny_patch16_224",
        data__image_size=32,
        fleet=[{"edge": "a", "devices": [LARGE]}],
    ),
    "a folder of weights": check("no file data", backbone__reference__checkpoint="data"),
}

ARTIFACTS: dict[str, Bad] = {
    name: given("fleet --summary kept.json", f"kept.json: {said}", {"kept.json": text})
    for name, text, said in (
        ("an empty summary", "", "not JSON"),
        ("a truncated summary", '{"devices": [', "not JSON"),
        ("a summary of bytes", b"\xff\xfe", "not JSON"),
        ("a summary of a word", '"words"', "no summary of a run"),
        ("a summary of nothing", "{}", "no summary of a run"),
        ("a summary of no device", '{"devices": [], "fleet": {}, "link": {}}', "no summary"),
        ("a summary of odd devices", '{"devices": [1], "fleet": {}, "link": {}}', "no summary"),
    )
} | {
    "a summary that no run wrote": given(
        "fleet", "artifacts|summary.json|acme stage evaluate", {"artifacts/summary.json": "{}"}
    ),
    "no summary": given("fleet --summary nowhere.json", "nowhere.json: No such file"),
    "a folder as summary": given("fleet --summary artifacts", "artifacts: Is a directory"),
    "stages that are no YAML": given("check", "dvc.yaml: not YAML", {"dvc.yaml": "a: ["}),
    "no stages": given("check", "dvc.yaml: no `stages:`", {"dvc.yaml": "a: 1"}),
    "no evaluation": given("results", "acme evaluate"),
}

WORDS: dict[str, Bad] = {
    "an unknown command": given("fly", "fly|acme --help"),
    "an unknown option": given("run --fast", "--fast|acme --help"),
    "an unknown stage": given("stage training", "training"),
    "no stage": given("stage", "NAME"),
    "an unknown experiment": given("evaluate --only fig99", "fig99|choose of"),
    "an unknown scale": given("evaluate --scale huge", "huge"),
    "no seed": given("evaluate --seeds 0", "--seeds"),
    "a device id that is negative": given("profile --id -1 --storage-limit 9", "--id"),
    "a limit that is none": given("profile --storage-limit much", "--storage-limit|give"),
    "a profile without power": given("profile --storage-limit 9 --power-watt 0", "--power-watt"),
    "a port of words": given("ui --mlflow-port many", "many"),
    "an unknown device": given("rollback 99", "99: no such device|device-00"),
    "a device of 5,000 digits": given(f"rollback {5000 * '9'}", "no such device|device-00"),
    "an unknown format": given("export 0 --format gguf", "gguf"),
}

INITS: dict[str, Bad] = {
    name: given(f"init --force --source fashion-mnist {arguments}", said, files)
    for name, arguments, said, files in (
        ("nobody answers", "", "nobody answers|--data, --model, --devices|or --yes", {}),
        ("no answer of the model", "--data d --devices 3", "give --model, --clusters", {}),
        (
            "no ViT for new settings",
            "--yes --model resnet18",
            "--model: resnet18 cannot|ResNet",
            {},
        ),
        (
            "no model of new settings",
            "--yes --model vit_x",
            "--model: timm has no model 'vit_x'",
            {},
        ),
        (
            "no weights of new settings",
            "--yes --model vit_tiny_patch16_224.foo",
            "--model: timm has no weights 'foo'|choose one of augreg_in21k",
            {},
        ),
        (
            "an activation of new settings",
            "--yes --model vit_base_patch32_clip_quickgelu_224",
            "--model: vit_base_patch32_clip_quickgelu_224 cannot|another activation than GELU",
            {},
        ),
        (
            "patches of new settings",
            "--yes --model vit_tiny_patch16_224 --image-size 8",
            "data.image_size: 8 is no multiple of the patches' 16|give 16",
            {},
        ),
        ("no checkpoint for it", "--yes --checkpoint no.pth", "--checkpoint no.pth: no such", {}),
        ("no device", "--yes --devices 0", "--devices", {}),
        ("more clusters than devices", "--yes --devices 2 --clusters 3", "--clusters 3", {}),
        ("no file of a fleet", "--yes --fleet no.csv", "no.csv: No such file", {}),
        ("a fleet that is none", "--yes --fleet f.csv", "f.csv, line 2", {"f.csv": f"{HEAD}x"}),
        ("data elsewhere", "--yes --data /elsewhere", "--data /elsewhere|move it in", {}),
        ("data above", "--yes --data ..", "--data ..|move it in", {}),
        ("data everywhere", "--yes --data .", "--data .|move it in", {}),
        ("data that are a file", "--yes --data x", "--data x: no folder", {"x": ""}),
        ("a seed too large", f"--yes --seed {2**32}", "--seed", {}),
        ("an image of 3 pixels", "--yes --image-size 3", "--image-size", {}),
        ("an image of a million", "--yes --image-size 1000003", "data.image_size", {}),
    )
} | {
    "settings are there": given("init --yes", "params.yaml is there already|acme init --force"),
    "no images": given(
        "init --force --source image-folder --data no --yes", "no: no class folders"
    ),
}

CASES: dict[str, Bad] = {
    "an unknown case": given("--case nope check", "'nope'|acme --case nope init"),
    "a case that cannot be": given("--case No! check", "--case No!|small letters"),
    "a case called like a model": given("--case my-backbone check", "none is backbone"),
    "a case of 300 letters": given(f"init --case {300 * 'a'} --yes", "60 in all at most"),
    "a file in the case's place": given("init --case x --yes", "File exists|Move", {"cases/x": ""}),
    "a file in the cases' place": given(
        "init --case x --yes", "cases|folder: move it", {"cases": ""}
    ),
    "a case's data elsewhere": given("init --case x --yes --data ../..", "--data ../..|move it in"),
    "a case without images": given(
        "init --case x --source image-folder --yes", "data: no class folders"
    ),
    "a case whose settings are wrong": given(
        "--case x check", "case x: params.yaml: not YAML", {"cases/x/params.yaml": "a: ["}
    ),
}

ENVIRONMENT: dict[str, Bad] = {
    "an unknown engine": Bad(
        "check", ("ACME_ENGINE=fast", "choose here"), env={"ACME_ENGINE": "fast"}
    ),
}


MACHINE = {
    "a full disk": (errno.ENOSPC, "No space left on device. Make room there"),
    "a quota": (errno.EDQUOT, "quota exceeded. Make room there"),
    "a disk that is only read": (errno.EROFS, "Read-only file system. Make it a place that can"),
    "a folder of somebody else's": (errno.EACCES, "Permission denied. Give this user the right"),
    "a broken disk": (errno.EIO, "Input/output error. Look after the disk"),
}
"""What the operating system may say of any file."""

FAST = SETTINGS | YAML | FLEETS | CHECKPOINTS | ARTIFACTS | WORDS | INITS | CASES | ENVIRONMENT
