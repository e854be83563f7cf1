"""An edge whose devices share nothing searches on the public features that the cloud sent."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models.backbone.config import build
from models.backbone.families.vit import ViTConfig
from models.header.recipe import HeaderSearch, JointTraining
from models.refinement.recipe import Sketching
from tasks.cloud.backbone import send_backbone, send_public_features
from tasks.cloud.public import Public
from tasks.data.modality import ImageInfo
from tasks.device import features
from tasks.device.own import Own
from tasks.edge import header
from tasks.links.link import Message, receive
from tasks.run.compute import Machine
from tasks.run.modules import put_backbone
from tasks.run.store import Ref, put_tensors
from tasks.settings.params import load
from tests.tiny import ROOT

pytestmark = pytest.mark.usefixtures("in_tmp")

INFO = ImageInfo("test", ("a", "b", "c"), 8, 1, (0.5,), (0.5,))
MACHINE = Machine.of("cpu", 1)
CONFIG = ViTConfig(
    image_size=8,
    patch_size=4,
    channels=1,
    classes=3,
    dim=16,
    depth=2,
    heads=2,
    head_dim=8,
    mlp_hidden=32,
)


def samples(train: int, shared: int) -> Ref:
    """Noise, of which the first ``shared`` train samples are shared, none of them to validate."""
    stream, tensors = torch.Generator().manual_seed(train), {}
    for split, count in (("train", train), ("val", 20)):
        images = torch.randint(256, (count, 1, 8, 8), generator=stream)
        tensors[f"{split}_images"] = images.to(torch.uint8)
        tensors[f"{split}_labels"] = torch.arange(count) % 3
    index = {"shared_train": torch.arange(shared), "shared_val": torch.arange(0)}
    return put_tensors("samples", tensors | index)


@pytest.mark.parametrize(("shared", "sent"), [(0, 0), (1, 1)])
def test_an_edge_without_enough_shared_samples_goes_by_public_ones(shared: int, sent: int) -> None:
    cut = put_backbone(build(CONFIG, seed=0))
    backbone, public = send_backbone.fn("edge", cut), Public(samples(40, 0), INFO)
    known = send_public_features.fn("edge", cut, public, 40, MACHINE)
    own = Own("edge", "device-00", 0, samples(10, shared))
    given: tuple[Message, ...] = features.share(own, INFO).messages
    assert len(given) == sent
    consented = header.Consented(given, INFO)
    kept = header.embed_shared.fn("edge", backbone, consented, MACHINE)
    settings = load(ROOT / "params.yaml").edge
    few = {"epochs": 1, "weight_steps": 2, "controller_steps": 1, "retrain_steps": 4}
    recipe = replace(settings.part(HeaderSearch), **few, fixed=["mlp"], finalists=1)
    material = header.Material("edge", backbone, known, kept, 10**6)
    search = header.search_header.fn(material, recipe, 0, MACHINE)
    assert all(0 <= found.val_accuracy <= 1 for found in search.headers)
    together = replace(settings.part(JointTraining), unfreeze_steps=2)
    coarse = header.settle.fn(search, backbone, consented, together, 0, MACHINE)
    assert coarse.header == search.headers[search.winner].state  # nothing to train it on together
    [model] = header.send_model.fn(coarse, ("device-00",), kept, known)
    scale = receive(model)[0]
    of_public = receive(known)[0]["features"][:, 0, 0].float()
    assert torch.allclose(scale["scale.mean"], of_public.mean(0), atol=1e-6)
    assert torch.allclose(scale["scale.std"], of_public.std(0), atol=1e-5)
    adopted = features.adopt(own, model, INFO, MACHINE).own
    [sketch] = features.sketch(adopted, Sketching(8, sketch="samples"), 0).messages
    assert receive(sketch)[0]["features"].isfinite().all()


def test_without_public_features_either_it_says_so() -> None:
    cut = put_backbone(build(CONFIG, seed=0))
    backbone = send_backbone.fn("edge", cut)
    kept = header.embed_shared.fn("edge", backbone, header.Consented((), INFO), MACHINE)
    material = header.Material("edge", backbone, None, kept, 10**6)
    recipe = load(ROOT / "params.yaml").edge.part(HeaderSearch)
    with pytest.raises(ValueError, match="needs train and validation samples"):
        header.search_header.fn(material, recipe, 0, MACHINE)
