"""The pictures of the report: nothing in them hides something else, and many devices fit."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any

import pytest
import torch

from models.header.config import HeaderConfig
from models.header.space import Space
from tasks.links.records import Header, Mixing
from tasks.report import figures, overview
from tasks.run.store import Ref
from tests.fleets import made_up


def drawn(figure: Any) -> Any:
    """The figure's axes, laid out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).draw()
    return figure.axes[0]


def header(blocks: int, seed: int) -> Header:
    found = Space(blocks).sample(torch.Generator().manual_seed(seed))
    config = HeaderConfig("searched", 64, (4, 4), 10, 24, 64, architecture=found).to_dict()
    return Header("x", "searched", config, Ref("header", "0" * 64), 1, 1, 0.5, 0.8)


def test_a_legend_of_the_front_and_its_limits_lie_off_the_points() -> None:
    page = made_up(12, 3)
    for match in page.matches:
        figure = figures.draw_front(match, page.variants, 36_000)
        axes = drawn(figure)
        [legend] = figure.legends
        assert not legend.get_window_extent().overlaps(axes.get_window_extent())
        words = [text.get_text() for text in legend.get_texts()]
        assert words[:3] == ["too large", "front", "chosen"]
        assert words[3] == f"smallest limit, {match.limit / 1e3:.0f} k"
        assert not axes.texts


def test_a_limit_far_beyond_the_grid_is_named_and_does_not_squeeze_it() -> None:
    page = made_up(2, 1)
    match = page.matches[0]
    figure = figures.draw_front(match, page.variants, match.limit - 10**9)
    axes = drawn(figure)
    largest = max(v["parameters"] for v in page.variants)
    assert axes.get_xlim()[1] < 1.5 * largest / 1e3
    assert "further right" in figure.legends[0].get_texts()[-1].get_text()


@pytest.mark.parametrize(("blocks", "seed"), [(2, 1), (3, 2), (4, 1), (5, 1), (5, 2)])
def test_boxes_and_words_of_a_header_stand_clear_of_each_other(blocks: int, seed: int) -> None:
    axes = drawn(figures.draw_header(header(blocks, seed)))
    plates = [text.get_bbox_patch().get_window_extent() for text in axes.texts]
    assert len(plates) > 3 * blocks
    assert not any(one.overlaps(other) for one, other in combinations(plates, 2))
    page = axes.figure.bbox
    assert all(page.x0 <= p.x0 and p.x1 <= page.x1 for p in plates)


def test_names_of_candidates_cover_neither_each_other_nor_a_point() -> None:
    from matplotlib.text import Text

    rows = made_up(2, 1).variants
    names = [f"w{v['width']}-d{v['depth']}" for v in rows]
    axes = drawn(figures.draw_candidates(rows, names, [1.0] * len(rows)))
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # not their lines
    assert sorted(text.get_text() for text in axes.texts) == sorted(names)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    places = axes.transData.transform([(v["parameters"] / 1e3, v["val_accuracy"]) for v in rows])
    assert not any(box.contains(x, y) for box in boxes for x, y in places)


def test_weights_of_many_devices_are_colours_without_words() -> None:
    def mixing(count: int) -> Mixing:
        names = tuple(f"device-{i:02d}" for i in range(count))
        rows = ((1 / count,) * count,) * count
        return Mixing("north", names, rows, rows)

    few, many = figures.similarity(mixing(figures.FEW)), figures.similarity(mixing(40))
    assert few.count(">0.08<") == figures.FEW**2
    assert len(re.findall(r"<text", many)) < 2 * figures.FEW + 20
    assert len(many) < 60_000


def test_the_picture_of_accuracies_has_a_line_a_device_or_of_many_a_line_an_edge() -> None:
    few, many = made_up(12, 3), made_up(200, 5)
    assert "device-07  (edge-1, " in overview.accuracy(few.summary["devices"])  # and its context
    picture = overview.accuracy(many.summary["devices"])
    assert "edge-4  (40)" in picture
    assert "device-07" not in picture
    scattered = overview.accuracy(made_up(60, 60).summary["devices"])
    height = re.search(r'height="([\d.]+)pt"', scattered)
    assert height
    assert float(height[1]) < 1000


def test_a_picture_has_words_for_who_cannot_see_it_and_no_id_that_is_not_used() -> None:
    picture = overview.links(made_up(2, 1).summary["link"])
    assert picture.startswith('<svg role="img" aria-label="bytes that crossed')
    assert "<metadata" not in picture
    for found in re.findall(r' id="([^"]+)"', picture):
        assert f"#{found}" in picture


def test_what_is_taken_for_what_is_counted_in_a_picture_that_few_classes_have() -> None:
    counts = {"shoe": {"shoe": 19, "boot": 1}, "boot": {"bag": 1204, "boot": 3}}
    picture = overview.taken_for(counts)
    assert picture is not None
    words = re.findall(r">([^<>\n]+)</text>", picture)
    for word in ("19", "1,204", "3", "shoe", "boot", "bag", "is", "was answered"):
        assert word in words, word
    assert overview.taken_for({"shoe": {"shoe": 3}}) is None
    many = {f"class {i}": {f"class {i}": 1} for i in range(overview.CLASSES + 1)}
    assert overview.taken_for(many) is None
