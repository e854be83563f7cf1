"""What a family of backbones needs: two, a ViT and a toy that is none, follow the same laws."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.backbone import config as registry
from models.backbone import distillation, elastic, features, importance, scoring, size, slicing
from models.backbone.families.bert import BertConfig
from models.backbone.families.from_timm import adopt
from models.backbone.families.stem import StemConfig
from models.backbone.families.vit import ViTConfig
from models.backbone.family import VERSION, Backbone
from models.backbone.training import Examples
from models.backbone.units import layered, masked, narrowed, reordered
from models.header.build import build_header
from models.header.config import HeaderConfig
from models.header.kinds import FIXED
from models.header.maps import to_map
from tests.models.backbone import toy

ROOT = Path(__file__).parents[3]
VIT = ViTConfig(
    image_size=8,
    patch_size=2,
    channels=3,
    classes=4,
    dim=12,
    depth=4,
    heads=3,
    head_dim=4,
    mlp_hidden=10,
)
STEM = StemConfig(**vars(VIT) | {"patch_size": 4, "stem": ((5, 1), (8, 2), (12, 2))})
REGISTERS = replace(VIT, reg_tokens=2, no_embed_class=True, layer_scale=True)
PLACED = replace(VIT, reg_tokens=1, fc_norm=True)
MEAN = replace(VIT, class_token=False, global_pool="avg", fc_norm=True, layer_scale=True)
MEAN_BESIDE = replace(VIT, reg_tokens=3, global_pool="avg", qkv_bias=False)
KINDS = {
    "vit": VIT,
    "stem": STEM,
    "registers": REGISTERS,
    "placed registers": PLACED,
    "mean": MEAN,
    "mean beside [CLS]": MEAN_BESIDE,
}
TOY = toy.ToyConfig(
    length=6, vocabulary=9, classes=4, dim=12, depth=4, heads=3, head_dim=5, mlp_hidden=10
)
BERT = BertConfig(
    length=7,
    vocabulary=9,
    pad=2,
    classes=4,
    dim=12,
    depth=4,
    heads=3,
    head_dim=5,
    mlp_hidden=10,
)
TEXTS = {"toy": TOY, "bert": BERT, "bert, [CLS]": replace(BERT, pool="cls")}
LABELS = torch.tensor([0, 1, 2, 3, 0])


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.FAMILIES, "toy", toy.FAMILY)


def inputs_of(config: Any) -> Tensor:
    stream = torch.Generator().manual_seed(3)
    if isinstance(config, ViTConfig):
        return torch.randn(5, 3, 8, 8, generator=stream)
    words = torch.randint(config.vocabulary, (5, config.length), generator=stream)
    words[0, 4:] = words[3, 1:] = getattr(config, "pad", toy.PADDING)
    return words


@pytest.fixture(params=[*KINDS.values(), *TEXTS.values()], ids=[*KINDS, *TEXTS])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    """Biases and norms are not at their start, so that a wrong slice shows."""
    module = registry.build(request.param, seed=2).eval()
    stream = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=stream)
        for name, value in module.named_buffers():  # of batch norms
            value += torch.rand(value.shape, generator=stream) if "running" in name else 3
    return module


def test_reordering_computes_the_same_and_sorts_by_importance(backbone: Backbone) -> None:
    x = inputs_of(backbone.config)
    ranked = elastic.reorder(backbone, importance.importance(backbone, x, LABELS))
    assert torch.allclose(ranked(x), backbone(x), atol=1e-5)
    again = importance.importance(ranked, x, LABELS)
    assert set(again) == {"heads", "mlp_hidden"}
    for scores in again.values():
        assert torch.all(scores[:, :-1] >= scores[:, 1:] - 1e-6)
        assert torch.all(scores[:, 0] > 0)


@pytest.mark.parametrize("width", [0.1, 0.5, 1.0])
@pytest.mark.parametrize(("depth", "strategy"), [(2, "first"), (2, "even"), (4, "first")])
def test_slicing_masking_and_views_agree(
    backbone: Backbone, width: float, depth: int, strategy: str
) -> None:
    full, x = backbone.config, inputs_of(backbone.config)
    small = slicing.slice_variant(backbone, width, depth, strategy)
    layers = elastic.layers_of(depth, full.depth, strategy)
    hidden_away = copy.deepcopy(backbone)
    counts = elastic.counts_at(full, width)
    for block in hidden_away.blocks:
        state = masked(block.state_dict(), registry.units_of(full), counts)
        block.load_state_dict(state)
    hidden_away.blocks = nn.ModuleList(hidden_away.blocks[i] for i in layers)
    views = elastic.forward(backbone, x, width, layers).hidden[-1]
    assert torch.allclose(small(x), hidden_away(x), atol=1e-5)
    assert torch.allclose(small(x), backbone.logits(views, backbone.mask(x)), atol=1e-5)
    if width < 1:
        assert not torch.allclose(small(x), backbone(x), atol=1e-3)


@pytest.mark.parametrize(("width", "depth"), [(0.3, 2), (1.0, 4)])
def test_size_is_that_of_the_real_module(backbone: Backbone, width: float, depth: int) -> None:
    small = slicing.slice_variant(backbone, width, depth)
    config = elastic.variant_config(backbone.config, width, depth)
    assert small.config == config
    head = size.parameter_count(small.head)
    assert size.backbone_parameters(config) == size.parameter_count(small) - head
    assert size.flops(config) <= size.flops(backbone.config)


LAYER = 2 * 12 + 4 * 12 * 12 + 4 * 12 + 2 * 12 + 2 * 12 * 10 + 10 + 12
AROUND = 12 * (2 * 2 * 3 + 1) + 16 * 12 + 2 * 12  # patches, their positions, the final norm


@pytest.mark.parametrize(
    ("config", "parameters", "tokens"),
    [
        (VIT, AROUND + 2 * 12 + 4 * LAYER, 17),
        (REGISTERS, AROUND + 3 * 12 + 4 * (LAYER + 2 * 12), 19),
        (PLACED, AROUND + 4 * 12 + 4 * LAYER, 18),
        (MEAN, AROUND + 4 * (LAYER + 2 * 12), 16),
        (MEAN_BESIDE, AROUND + 8 * 12 + 4 * (LAYER - 3 * 12), 20),
    ],
    ids=[name for name in KINDS if name != "stem"],
)
def test_what_counts_where_by_hand(config: ViTConfig, parameters: int, tokens: int) -> None:
    """docs/method.md: all that is learned counts in parameters, and tokens in operations; zeta and
    modelled energy know neither layer scale nor registers nor pooling."""
    assert size.backbone_parameters(config) == parameters
    layer = 4 * tokens * 12 * 12 + 2 * tokens**2 * 12 + 2 * tokens * 12 * 10
    assert size.flops(config) == 2 * (16 * 12 * 12 + 4 * layer)
    attention = 4 * 12 * 12 + (4 if config.qkv_bias else 1) * 12
    assert size.zeta(0.5, 3, config) == 1.5 * (attention + 2 * 12 * 10)
    assert config.positions == 16, "N of Eq. 2"


def test_layer_scale_and_registers_have_the_parameters_that_the_page_says() -> None:
    large = replace(VIT, dim=384, heads=6, head_dim=64, mlp_hidden=1536, depth=1)
    counts = [
        size.backbone_parameters(replace(large, **changes)) - size.backbone_parameters(large)
        for changes in (
            {"layer_scale": True},
            {"reg_tokens": 1},
            {"reg_tokens": 1, "no_embed_class": True},
        )
    ]
    assert counts == [768, 768, 0]  # the last gains a register and loses the position of [CLS]


def test_the_toy_s_operations_are_its_products() -> None:
    tokens, inner = 7, 3 * 5
    layer = 4 * tokens * 12 * inner + 2 * tokens**2 * inner + 2 * tokens * 12 * 10
    assert size.flops(TOY) == 2 * 4 * layer
    assert size.attention_parameters(TOY) == 3 * (12 * inner + inner) + inner * 12 + 12


def test_words_are_units_of_the_table() -> None:
    """A model that keeps some words reads texts of these words as the whole one does."""
    whole = registry.build(TOY, seed=2).eval()
    kept = torch.tensor([7, 2, 5, 0])
    outer = [unit for unit in registry.units_of(TOY) if not unit.layered]
    state = reordered(whole.state_dict(), outer, {"vocabulary": kept})
    small = registry.restore(replace(TOY, vocabulary=len(kept)), state)
    own = torch.tensor([[0, 1, 2, 3, 3, 1], [2, 0, toy.PADDING, 1, 1, 0]])
    texts = torch.where(own == toy.PADDING, own, kept[own.clamp(min=0)])
    assert torch.equal(small(own), whole(texts))
    saved = size.backbone_parameters(TOY) - size.backbone_parameters(small.config)
    assert saved == 5 * TOY.dim


@pytest.mark.parametrize("config", TEXTS.values(), ids=TEXTS)
def test_padding_changes_nothing(config: Any) -> None:
    whole, x = registry.build(config, seed=2).eval(), inputs_of(config)
    mask = whole.mask(x)
    assert mask is not None
    poisoned = whole.embed(x) + 100.0 * ~mask[..., None]
    for block in whole.blocks:
        poisoned = block(poisoned, mask)
    assert torch.allclose(whole.logits(poisoned, mask), whole(x), atol=1e-5)


def test_every_step_of_the_cloud_runs(backbone: Backbone) -> None:
    """Distil, score every variant, cut, features: none knows the family."""
    data = (inputs_of(backbone.config), LABELS)
    grid = elastic.Grid((0.5, 1.0), (2, 4), "first")
    recipe = distillation.Distillation(2, 2, 4, 1e-3, 1.0, 0.1, 0.1, 1.0)
    before = copy.deepcopy(backbone.state_dict())
    shown = Examples(*data)
    distillation.distill(backbone, shown, grid, recipe, torch.Generator().manual_seed(0))
    after = backbone.state_dict()
    assert all(torch.isfinite(value).all() for value in after.values())
    assert not torch.equal(after["head.weight"], before["head.weight"])
    for score in scoring.score_grid(backbone, data, grid, 2):
        small = slicing.slice_variant(backbone, score.width, score.depth)
        found = (small(data[0]).argmax(1) == LABELS).float().mean().item()
        assert score.accuracy == pytest.approx(found)
    found = features.extract(backbone, data[0], 2)
    tokens, mask = found.tokens, backbone.mask(data[0])
    assert found.shape == backbone.config.shape
    assert found.mask is mask is None or torch.equal(found.mask, mask)
    assert tokens.shape == (5, 2, 1 + backbone.config.positions, 12)
    read = backbone.read(backbone.encode(data[0]), mask)
    assert torch.allclose(tokens[:, 0], read, atol=1e-5)
    assert torch.allclose(backbone.head(tokens[:, 0, 0]), backbone(data[0]), atol=1e-5)


def test_a_family_says_what_its_inputs_may_look_like_as_well(backbone: Backbone) -> None:
    """Images are mirrored, some of them; the order of words means something."""
    x, stream = inputs_of(backbone.config), torch.Generator().manual_seed(0)
    found = registry.family_of(backbone.config).augment(x, stream)
    same = [torch.equal(a, b) for a, b in zip(found, x, strict=True)]
    if isinstance(backbone.config, ViTConfig):
        mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(found, x, strict=True)]
        assert [not m for m in mirrored] == same
        assert 0 < sum(same) < len(same)
    else:
        assert all(same)


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_headers_read_what_the_reference_header_does_and_each_place_once(config: Any) -> None:
    """Whatever tokens there are: the linear header starts as the reference's, and an image with one
    bright patch more shows in that patch's place of the map before any layer has mixed it."""
    vit = registry.build(config, seed=2).eval()
    x, shape = inputs_of(config), HeaderConfig("linear", 12, config.shape, 4, 5, 6)
    found = features.extract(vit, x)
    own = (vit.head.weight, vit.head.bias)
    linear = build_header(shape, cls_head=own).eval()
    assert torch.allclose(linear(found.tokens), vit(x), atol=1e-5)
    for name in FIXED:
        header = build_header(replace(shape, kind=name)).eval()
        whole = features.Headed(features.FeatureExtractor(vit), header)
        assert torch.allclose(whole(x), header(found.tokens), atol=1e-5), name
    bright = x.clone()
    bright[:, :, -1, -1] += 5
    seen = [to_map(vit.read(vit.embed(image)), config.shape) for image in (x, bright)]
    changed = (seen[0] - seen[1]).abs().sum(1) > 1e-3
    assert changed[:, -1, -1].all()
    if not isinstance(config, StemConfig):
        assert changed.sum() == len(x)


def test_narrowing_takes_views_of_the_first_units() -> None:
    backbone = registry.build(VIT)
    tensors = dict(backbone.blocks[0].named_parameters())
    views = narrowed(tensors, layered(registry.units_of(VIT)), {"heads": 2, "mlp_hidden": 7})
    qkv = tensors["attn.qkv.weight"].detach()
    rows = [*range(8), *range(12, 20), *range(24, 32)]
    assert torch.equal(views["attn.qkv.weight"], qkv[rows])
    assert torch.equal(views["mlp.fc2.weight"], tensors["mlp.fc2.weight"][:, :7])
    assert views["mlp.fc1.weight"].data_ptr() == tensors["mlp.fc1.weight"].data_ptr()


# ---- configurations in files ----


def test_a_configuration_survives_json(backbone: Backbone) -> None:
    values = json.loads(json.dumps(backbone.config.to_dict()))
    assert values["version"] == VERSION
    assert registry.config_from(values) == backbone.config


def test_an_older_configuration_is_a_vit_s() -> None:
    values = VIT.to_dict()
    del values["version"], values["family"]
    assert registry.config_from(values) == VIT


FIRST = {"version", "family", "classes", "dim", "depth", "heads", "head_dim", "mlp_hidden"}
FIRST |= {"image_size", "patch_size", "channels", "qkv_bias", "pre_norm", "norm_eps"}


def test_a_file_names_only_what_its_vit_has(backbone: Backbone) -> None:
    """Of a ViT that older programs know, a file is as they write it, byte for byte; what they do
    not know they refuse by name."""
    if isinstance(backbone.config, ViTConfig):
        further = set(backbone.config.to_dict()) - FIRST - {"stem"}
        plain = replace(backbone.config, **{name: getattr(VIT, name) for name in further})
        assert all(getattr(plain, n) != getattr(backbone.config, n) for n in further)
        assert set(plain.to_dict()) <= FIRST | {"stem"}
        assert list(VIT.to_dict()) == [name for name in backbone.config.to_dict() if name in FIRST]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"class_token": False}, "global_pool is token, but there is no class token"),
        ({"global_pool": "max"}, "global_pool: Input should be 'token' or 'avg'"),
        ({"reg_tokens": -1}, "reg_tokens"),
        ({"version": VERSION + 1}, f"version {VERSION + 1}; this ACME reads up to {VERSION}"),
        ({"version": "1"}, "version '1', which is no number"),
        ({"family": "cnn"}, "unknown family of backbones 'cnn': choose one of vit, vit-stem, bert"),
        ({"wings": 2}, "unknown wings"),
        ({"vocabulary": 2}, "unknown vocabulary"),  # another family's
    ],
)
def test_what_cannot_be_read_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        registry.config_from({**VIT.to_dict(), **change})


def test_a_configuration_with_something_missing_is_refused() -> None:
    values = VIT.to_dict()
    del values["heads"]
    with pytest.raises(ValueError, match="heads"):
        registry.config_from(values)


# ---- timm's ViT and ours ----


def timm_vit(config: ViTConfig, seed: int) -> Any:
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(seed)
    return VisionTransformer(
        img_size=config.image_size,
        patch_size=config.patch_size,
        in_chans=config.channels,
        num_classes=config.classes,
        embed_dim=config.dim,
        depth=config.depth,
        num_heads=config.heads,
        mlp_ratio=config.mlp_hidden / config.dim,
        qkv_bias=config.qkv_bias,
        pre_norm=config.pre_norm,
        norm_layer=partial(nn.LayerNorm, eps=config.norm_eps),
        class_token=config.class_token,
        reg_tokens=config.reg_tokens,
        no_embed_class=config.no_embed_class,
        init_values=1e-5 if config.layer_scale else None,
        global_pool=config.global_pool,
        fc_norm=config.fc_norm,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"qkv_bias": False},
        {"pre_norm": True, "norm_eps": 1e-5},
        {"reg_tokens": 2},
        {"reg_tokens": 2, "no_embed_class": True, "layer_scale": True},
        {"fc_norm": True},
        {"global_pool": "avg"},
        {"global_pool": "avg", "fc_norm": True, "reg_tokens": 1},
        {"global_pool": "avg", "class_token": False},
        {"global_pool": "avg", "class_token": False, "no_embed_class": True, "reg_tokens": 1},
    ],
)
def test_a_seed_gives_timm_s_weights_and_outputs(changes: dict[str, Any]) -> None:
    config = replace(VIT, mlp_hidden=24, **changes)
    ours, theirs = registry.build(config, seed=5), timm_vit(config, 5)
    assert set(ours.state_dict()) == set(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name
    x = inputs_of(config)
    assert torch.equal(ours.eval()(x), theirs.eval()(x))
    assert torch.equal(ours.forward_features(x), theirs.forward_features(x))
    assert adopt(theirs).config == config
    assert torch.equal(adopt(theirs)(x), theirs(x))


def test_a_training_step_is_timm_s() -> None:
    config = replace(VIT, mlp_hidden=24)
    ours, theirs, x = registry.build(config, seed=5), timm_vit(config, 5), inputs_of(config)
    for module in (ours, theirs):
        nn.functional.cross_entropy(module.train()(x), LABELS).backward()
    gradients = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        assert torch.equal(parameter.grad, gradients[name].grad), name  # type: ignore[arg-type]


def test_a_narrowed_vit_is_timm_s() -> None:
    from timm.layers import Mlp
    from timm.models.vision_transformer import Attention

    small = slicing.slice_variant(registry.build(VIT, seed=5), 0.5, 2)
    theirs = timm_vit(replace(VIT, depth=2), 0).eval()
    for block in theirs.blocks:
        block.attn = Attention(12, num_heads=2, attn_head_dim=4, qkv_bias=True)
        block.mlp = Mlp(12, 5)
    theirs.load_state_dict(small.state_dict())
    assert torch.equal(small(inputs_of(VIT)), theirs(inputs_of(VIT)))


def test_a_backbone_runs_without_timm() -> None:
    code = (
        "import sys, torch\n"
        "from models.backbone.config import build, config_from, restore\n"
        "from models.backbone.features import extract\n"
        "from models.backbone.slicing import slice_variant\n"
        f"config = config_from({VIT.to_dict()})\n"
        "small = slice_variant(build(config), 0.5, 2)\n"
        "again = restore(small.config, small.state_dict())\n"
        "assert extract(again, torch.zeros(2, 3, 8, 8)).tokens.shape == (2, 2, 17, 12)\n"
        "assert 'timm' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_backbone_is_exported_for_any_number_of_inputs(backbone: Backbone) -> None:
    """With ``len`` of a tensor instead of its shape, the program would be for one number."""
    x = inputs_of(backbone.config)
    free = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(backbone, (x[:2],), dynamic_shapes=free).module()
    assert torch.allclose(program(x), backbone(x), atol=1e-5)
