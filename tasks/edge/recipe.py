"""A header search as the settings want it: for an edge, and for everything compared with one."""

from __future__ import annotations

from torch import Tensor

from models.backbone.config import BackboneConfig
from models.header.build import HeaderConfig
from models.header.search import HeaderSearch, Recipe
from models.header.space import Space
from tasks.settings import params as settings


def header_config(backbone: BackboneConfig, recipe: settings.HeaderSearch) -> HeaderConfig:
    """The linear header of a backbone; other kinds replace ``kind`` and ``architecture``."""
    return HeaderConfig(
        kind="linear",
        dim=backbone.dim,
        grid=backbone.grid,
        classes=backbone.classes,
        channels=recipe.channels,
        hidden=recipe.hidden,
        repeats=recipe.repeats,
    )


def space_of(recipe: settings.HeaderSearch) -> Space:
    """The headers that may be found."""
    return Space(recipe.blocks, recipe.operations)


def search_recipe(recipe: settings.HeaderSearch) -> Recipe:
    """How long and how fast the search goes."""
    return Recipe(**recipe.model_dump(include=set(Recipe.__dataclass_fields__)))


def header_search(
    backbone: BackboneConfig,
    recipe: settings.HeaderSearch,
    budget_parameters: int,
    cls_head: tuple[Tensor, Tensor],
    seed: int,
) -> HeaderSearch:
    """One edge's search; ``cls_head`` are weight and bias of the reference header."""
    return HeaderSearch(
        header_config(backbone, recipe),
        space_of(recipe),
        search_recipe(recipe),
        budget_parameters,
        cls_head=cls_head,
        seed=seed,
    )
