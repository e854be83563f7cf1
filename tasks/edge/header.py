"""An edge server's coarse header (Sec. III-C): its shared set, the search, and what goes down.

It sees what its devices send: attributes, consented shared samples, feature sketches, importance
sets and scalar metrics. It never reads a device's own files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from models.backbone.config import config_from, restore
from models.backbone.family import Backbone
from models.backbone.features import extract
from models.backbone.size import backbone_parameters
from models.header.build import restore as restore_header
from models.header.config import HeaderConfig
from models.header.joint import train_jointly
from models.header.recipe import HeaderSearch, JointTraining
from models.header.search import EdgeSearch, SampledHeader, TrainedHeader, evaluate
from models.header.space import describe
from models.header.split import Split
from models.refinement.basis import fit_basis, tokens_read
from tasks.data.modality import DataInfo, TextInfo
from tasks.links.asking import Fits
from tasks.links.ends import CLOUD
from tasks.links.link import Message, Route, each_readable, receive, send_all
from tasks.links.records import Coarse, Header, Search
from tasks.links.sent import BASIS
from tasks.run.cached import cached
from tasks.run.compute import Machine
from tasks.run.progress import progress
from tasks.run.store import Ref, put_tensors, read_tensors

SHARED = "shared_samples"


@dataclass(frozen=True)
class Consented:
    """The shared samples of a cluster's devices, and how their images are standardised."""

    messages: tuple[Message, ...]
    info: DataInfo


@dataclass(frozen=True)
class Material:
    """What an edge searches with: its cluster's backbone and public features from the cloud,
    features of the shared set (:func:`embed_shared`), the smallest device's limit and, of texts,
    the most words that a device keeps."""

    edge: str
    backbone: Message
    public: Message | None
    shared: Ref
    storage_limit: int
    vocabulary: int | None = None


@cached("{edge}: features of the shared set")
def embed_shared(edge: str, backbone: Message, consented: Consented, machine: Machine) -> Ref:
    """Features of the consented samples under the cluster's backbone, computed once."""
    vit = _backbone(backbone).to(machine.prepare())
    tensors: dict[str, Tensor] = {}
    for split in ("train", "val"):
        images, labels = _samples(edge, consented, split)
        tensors |= Split.of(extract(vit, images), labels).named(f"{split}_")
    return put_tensors("features", tensors)


@cached("{material.edge}: search the header")
def search_header(material: Material, recipe: HeaderSearch, seed: int, machine: Machine) -> Search:
    """The header that suits the backbone (Sec. III-C), within what the smallest device has left."""
    machine.prepare()
    edge = material.edge
    state, values = receive(material.backbone, "backbone", Route(CLOUD, edge))
    config = config_from(values["config"])
    own = read_tensors(material.shared)[0]
    extra: dict[str, Tensor] = {}
    if material.public:
        extra, _ = receive(material.public, "public_features", Route(CLOUD, edge))
    shipped = backbone_parameters(config.with_vocabulary(material.vocabulary))
    budget = material.storage_limit - shipped
    cls_head = (state["head.weight"], state["head.bias"])
    search = EdgeSearch(HeaderConfig.linear(config, recipe), recipe, budget, cls_head, seed)
    train, val = Split.read(own, "train_"), Split.read(own, "val_")
    support = Split.read(extra, "val_") if extra else None
    with progress(f"{edge}: searching the header") as on_step:
        result = search.run(
            train.join(Split.read(extra, "") if extra else None), val, support, on_step
        )
    return Search(
        edge=edge,
        winner=result.winner,
        headers=tuple(_header(edge, trained) for trained in result.trained),
        sampled=tuple(_row(sampled) for sampled in result.sampled),
        search_space=search.space.size(),
        budget_parameters=budget,
    )


@cached("{search.edge}: settle backbone and header")
def settle(
    search: Search,
    backbone: Message,
    consented: Consented,
    recipe: JointTraining,
    seed: int,
    machine: Machine,
) -> Coarse:
    """The winner with its backbone, frozen or (``unfreeze_steps`` and shared samples to train and
    to choose by) trained together on the shared train samples as the paper has it. The joint result
    is kept if it is not worse on the shared validation samples."""
    place, winner = machine.prepare(), search.headers[search.winner]
    state, values = receive(backbone, "backbone", Route(CLOUD, search.edge))
    frozen = Coarse(
        search.edge,
        put_tensors("backbone", state, values["config"]),
        winner.state,
    )
    if recipe.unfreeze_steps == 0:
        return frozen
    images = {split: _samples(search.edge, consented, split) for split in ("train", "val")}
    if not all(len(labels) for _, labels in images.values()):
        return frozen
    vit = _backbone(backbone).to(place)
    header = restore_header(HeaderConfig.from_dict(winner.config), read_tensors(winner.state)[0])
    stream = torch.Generator().manual_seed(seed)
    with progress(f"{search.edge}: training backbone and header together") as on_step:
        train_jointly(vit, header, images["train"], recipe, stream, on_step)
    header.cpu()
    val = Split.of(extract(vit, images["val"][0]), images["val"][1])
    if evaluate(header, val)[1] < winner.val_accuracy:
        return frozen
    return Coarse(
        search.edge,
        put_tensors("backbone", vit.state_dict(), values["config"]),
        put_tensors("header", header.state_dict(), winner.config),
    )


@cached("{coarse.edge}: in what devices describe their data")
def find_basis(coarse: Coarse, public: Message | None, rank: int) -> Ref:
    """So many directions of what the header reads, from the cloud's public features.

    Raises:
        ValueError: the cloud sent none, or they have no basis.
    """
    if public is None:
        raise ValueError("devices describe their data by public features: edge.public_features")
    features = Split.read(receive(public, "public_features", Route(CLOUD, coarse.edge))[0], "")
    config = HeaderConfig.from_dict(read_tensors(coarse.header)[1])
    return put_tensors("basis", fit_basis(features, tokens_read(config), rank).compact.named(""))


@cached("{coarse.edge}: send the model to its devices")
def send_model(
    coarse: Coarse,
    devices: tuple[str, ...],
    shared: Ref,
    public: Message | None = None,
    basis: Ref | None = None,
) -> list[Message]:
    """The cluster's backbone and header go down, with the scale of its features on shared data (on
    public ones where less than two samples are shared): every device standardises its sketch in
    the same way. ``basis`` (:func:`find_basis`) goes along where devices describe their data."""
    weights, backbone = read_tensors(coarse.backbone)
    state, header = read_tensors(coarse.header)
    tokens = read_tensors(shared)[0]["train_features"][:, 0, 0]
    if len(tokens) < 2 and public is not None:
        of_public, _ = receive(public, "public_features", Route(CLOUD, coarse.edge))
        tokens = of_public["features"][:, 0, 0].float()
    tensors = {f"backbone.{k}": v for k, v in weights.items()}
    tensors |= {f"header.{k}": v for k, v in state.items()}
    mean = tokens.mean(0)
    std = tokens.std(0) + 1e-6 if len(tokens) > 1 else torch.ones_like(mean)
    tensors |= {"scale.mean": mean, "scale.std": std}
    if basis is not None:
        tensors |= {f"{BASIS}{k}": v for k, v in read_tensors(basis)[0].items()}
    values = {"config": {"backbone": backbone, "header": header}}
    routes = [Route(coarse.edge, device) for device in devices]
    return send_all("customized_model", routes, tensors, values)


def _backbone(message: Message) -> Backbone:
    state, values = receive(message, "backbone", Route(CLOUD, message.receiver))
    return restore(config_from(values["config"]), state)


def fits(info: DataInfo) -> Fits:
    """Why the edge cannot use shared samples: of another shape, or of no class that there is."""
    shape, classes = tuple(info.example(1).shape[1:]), len(info.classes)
    most = info.vocabulary - 1 if isinstance(info, TextInfo) else None

    def check(kind: str, tensors: Mapping[str, Tensor]) -> str | None:
        if kind != SHARED:
            return None
        if info.raw not in tensors:
            return f"has no {info.raw}"
        raw, labels = tensors[info.raw], tensors["labels"]
        if raw.shape[1:] != shape:
            return f"has samples of {tuple(raw.shape[1:])}, expected {shape}"
        if most is not None and raw.numel() and int(raw.max()) > most:
            return f"has token {int(raw.max())}; the vocabulary is 0 to {most}"
        if len(labels) and int(labels.max()) >= classes:
            return f"has label {int(labels.max())}; the classes are 0 to {classes - 1}"
        return None

    return check


def _samples(edge: str, consented: Consented, split: str) -> tuple[Tensor, Tensor]:
    """All consented samples of a split, of which there may be none: standardised images and
    labels."""
    info = consented.info
    images, labels = [info.example(0)], [torch.empty(0, dtype=torch.int64)]
    for _, (tensors, values) in each_readable(consented.messages, SHARED, edge):
        cut = values["train_count"]
        part = slice(None, cut) if split == "train" else slice(cut, None)
        images.append(info.inputs(tensors[info.raw][part]))
        labels.append(tensors["labels"][part].long())
    return torch.cat(images), torch.cat(labels)


def _header(edge: str, trained: TrainedHeader) -> Header:
    config = trained.config.to_dict()
    return Header(
        name=trained.name,
        kind=trained.config.kind,
        config=config,
        state=put_tensors("header", trained.state, config),
        parameters=trained.parameters,
        flops=trained.flops,
        val_loss=trained.val_loss,
        val_accuracy=trained.val_accuracy,
    )


def _row(sampled: SampledHeader) -> dict[str, object]:
    return {**asdict(sampled), "architecture": describe(sampled.architecture)}
