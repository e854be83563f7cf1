"""What a run comes to, in numbers; and why a limit is not filled."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from models.statistics import interval, wilson
from tasks.report.classes import class_rows, mistakes, together
from tasks.report.columns import COLUMNS, points, shown
from tasks.report.limits import choice, half_unused, steps
from tasks.report.summary import by_context, ceiling, spread
from tests.fleets import MATCHING, made_up


def test_means_have_intervals_over_the_devices_and_devices_over_their_samples() -> None:
    summary = made_up(9, 3).summary
    refined = [d["accuracy_refined"] for d in summary["devices"]]
    bounds = (summary["fleet"][f"accuracy_refined_mean_{end}"] for end in ("low", "high"))
    assert tuple(bounds) == interval(refined)
    device = summary["devices"][0]
    right = round(device["accuracy_refined"] * device["test_samples"])
    bounds = (device[f"accuracy_refined_{end}"] for end in ("low", "high"))
    assert tuple(bounds) == wilson(right, device["test_samples"])


def test_of_one_device_there_is_no_interval() -> None:
    [device] = made_up(1, 1).summary["devices"]
    assert not [name for name in spread([device]) if name.endswith(("mean_low", "mean_high"))]


def test_what_is_given_up_is_counted_on_like_terms_first() -> None:
    devices = [
        {
            **device,
            "accuracy_reference_own_classes": 0.9,
            "accuracy_reference": 0.8,
            "accuracy_refined_own_classes": 0.88,
            "accuracy_refined": refined,
        }
        for device, refined in zip(made_up(2, 1).summary["devices"], (0.85, 0.89), strict=True)
    ]
    fleet = spread(devices)
    assert fleet["given_up_own_classes_mean"] == pytest.approx(0.03)
    assert fleet["given_up_both_own_classes_mean"] == pytest.approx(0.02)
    assert fleet["given_up_all_classes_mean"] == pytest.approx(-0.07)
    found = [fleet[f"given_up_own_classes_mean_{end}"] for end in ("low", "high")]
    assert found == pytest.approx(interval([0.05, 0.01]))
    column = next(column for column in COLUMNS if column.name == "given up")
    assert [column.text(device) for device in devices] == ["+5.0", "+1.0"]


def test_what_devices_only_expect_is_told_of_those_that_do() -> None:
    wants = {**made_up(2, 1).summary["devices"][0], "wanted": ["bag", "boot"]}
    plain = {name: value for name, value in wants.items() if "wanted" not in name}
    names = {"wanted", "received, wanted", "refined, wanted"}
    assert not names & {column.name for column in shown([plain], "report")}
    assert not [name for name in spread([plain]) if "wanted" in name]
    fleet = spread([plain, wants, {**wants, "accuracy_refined_wanted": 0.8}])
    assert fleet["accuracy_received_wanted_mean"] == pytest.approx(0.4)
    assert fleet["accuracy_refined_wanted_mean"] == pytest.approx(0.7)
    columns = [column for column in shown([plain, wants], "report") if column.name in names]
    assert [column.text(wants) for column in columns] == ["bag, boot", "0.400", "0.600"]
    assert [column.text(plain) for column in columns] == ["-", "-", "-"]


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0234, "+2.3"), (-0.052, "\N{MINUS SIGN}5.2"), (0.0, "0.0"), (-1e-9, "0.0")],
)
def test_points_have_a_sign_unless_they_are_none(share: float, text: str) -> None:
    assert points(share) == text


def test_classes_are_worst_first_with_what_they_are_taken_for() -> None:
    counts = {"shoe": {"shoe": 9, "boot": 1}, "boot": {"shoe": 3, "bag": 4, "boot": 3}}
    worst, best = class_rows(counts)
    assert (worst.name, worst.samples, worst.right, worst.instead, worst.times) == (
        "boot", 10, 3, "bag", 4,
    )  # fmt: skip
    assert (best.name, best.instead, best.share) == ("shoe", "boot", pytest.approx(0.9))
    assert class_rows({"bag": {"bag": 2}})[0].instead is None
    assert together([counts, {"boot": {"boot": 1}}])["boot"] == {"shoe": 3, "bag": 4, "boot": 4}
    assert counts["boot"]["boot"] == 3


def test_the_wrong_answers_that_are_given_most_are_named_first() -> None:
    counts = {
        "shoe": {"shoe": 9, "boot": 4, "bag": 1},
        "boot": {"boot": 2, "shoe": 4},
        "bag": {"bag": 3},
    }
    assert [m.words for m in mistakes(counts)] == [
        "boot for shoe (4 of 6)",
        "shoe for boot (4 of 14)",
        "shoe for bag (1 of 14)",
    ]
    assert len(mistakes(counts, 1)) == 1
    assert mistakes({"bag": {"bag": 3}}) == []
    for device in made_up(3, 1).summary["devices"]:
        for found in device["mistakes"]:
            row = device["confusion"][found["name"]]
            assert (found["times"], found["samples"]) == (row[found["answer"]], sum(row.values()))


def test_what_became_of_each_context_is_the_spread_of_its_devices() -> None:
    summary = made_up(5, 2).summary
    assert list(summary["by_context"]) == ["night", "rain"]
    for name, found in summary["by_context"].items():
        own = [device for device in summary["devices"] if device["context"] == name]
        assert found == {"devices": len(own), **spread(own)}
    assert sum(found["devices"] for found in summary["by_context"].values()) == 5
    assert by_context([{**device, "context": "all"} for device in summary["devices"]]) == {}


def test_what_is_unused_is_told_in_parts_that_add_up() -> None:
    page = made_up(9, 3)
    match, search = page.matches[0], page.searches[0]
    own = [d for d in page.summary["devices"] if d["cluster"] == match.edge]
    most = {**own[0], "storage_limit": 400_000}
    words = half_unused([most], match, page.variants[match.chosen]["parameters"], MATCHING)
    assert words is not None
    numbers = [int(n.replace(",", "")) for n in re.findall(r"(?<![\w-])\d[\d,]*", words)]
    limit, unused, *parts = numbers
    assert limit == 400_000
    assert unused == limit - most["params"] == sum(parts)
    assert half_unused([{**most, "storage_limit": most["params"]}], match, 1, MATCHING) is None
    named = [step.name for step in steps(match, search, page.variants, own, MATCHING)]
    assert named[0] == "limits of its devices"
    assert named[-1] == "as shipped"


def test_the_rule_that_chose_is_named_with_what_it_gave_away() -> None:
    page = made_up(2, 1)
    match = replace(page.matches[0], chosen=0)
    words = choice(match, page.variants, MATCHING)
    assert words.startswith("Rule pareto. Eq. 13")
    assert "The largest that fits (width 0.25, depth 5) has 2.2 times the parameters" in words
    assert choice(page.matches[0], page.variants, MATCHING).endswith("the largest that fits.")


def test_no_share_is_told_of_a_gap_that_is_none() -> None:
    names = ("accuracy_refined", "accuracy_received_own_classes", "accuracy_ceiling")
    wide = dict(zip(names, (0.7, 0.6, 0.8), strict=True))
    assert ceiling([wide])["gap_closed"] == pytest.approx(0.5)
    none = dict(zip(names, (0.6, 0.64, 0.64 + 1e-9), strict=True))  # as float32 leaves it
    assert "gap_closed" not in ceiling([none])
