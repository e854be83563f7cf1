"""The report page: what it says, for a fleet of any size."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tasks.report.classes import mistakes
from tasks.report.columns import COLUMNS, table
from tasks.report.report import CLASSES, PICTURED, Page, render
from tests.fleets import made_up

VOID = {"meta", "input", "path", "use", "image", "br"}


class Parsed(HTMLParser):
    """The page's tags with their attributes, its words, and that each tag is closed in turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" not in self.open and "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def shown(page: Page) -> str:
    return render("", "acme ui", page)


@pytest.fixture(scope="module")
def small() -> Page:
    return made_up(6, 2)


@pytest.fixture(scope="module")
def html(small: Page) -> str:
    return shown(small)


def test_what_of_the_data_was_not_read_is_said(small: Page, html: str) -> None:
    assert "Not read" not in html
    run = small.summary["run"] | {"not_read": "1 damaged image (data/<b>/3.png)"}
    text = Parsed(shown(replace(small, summary=small.summary | {"run": run}))).text
    assert "Not read of the data: 1 damaged image (data/<b>/3.png)." in text


def test_it_says_what_was_given_up_and_how_sure_that_is(small: Page, html: str) -> None:
    text = Parsed(html).text
    fleet = small.summary["fleet"]
    for words in (
        f"{fleet['accuracy_reference_own_classes_mean']:.3f} what the reference reaches on the "
        "same data, told each device's classes",
        "Given up against it: +5.0 points (+5.0 to +5.0); negative: better than it",
        "\N{MINUS SIGN}1.0 points what refining gains over that",
        "to the ceiling",
        "tuned for 400 steps on many more samples of the device's context and classes, at most "
        "910, which nobody got, beside its own; that took 21 s for all devices",
        "0.612 what there would be without ACME: a plain CNN of 75,370 parameters",
        "mean accuracy refined, over 6 devices (95 % interval "
        f"{fleet['accuracy_refined_mean_low']:.3f} to {fleet['accuracy_refined_mean_high']:.3f})",
        "Student's t over the devices of this fleet and this seed",
        "Wilson's, from the number of its test samples",
        "Measured latency: median of a batch of 32 on x86_64 CPU, 2 threads",
        "everyone the reference",
        "They are synthetic",
        "71 % goes to those of its own context; by chance it would be 33 %",
    ):
        assert words in text, words
    assert "better than chance" not in text


SHOWN = [column for column in COLUMNS if column.where != "terminal"]


def test_every_column_is_explained_where_it_stands_and_below(html: str) -> None:
    page = Parsed(html)
    heads = [head for head in page.named("th") if head.get("scope") == "col"]
    assert [head["title"] for head in heads] == [column.says for column in SHOWN]
    for column in SHOWN:
        assert f"{column.name} {column.says}" in page.text.replace("\xa0", " "), column.name
    assert {"energy J*", "latency s*", "measured ms", "95 %", "given up", "refined"} <= {
        column.name for column in SHOWN
    }


def test_totals_are_those_of_the_fleet_and_of_giving_everyone_the_reference(
    small: Page, html: str
) -> None:
    totals, text = small.summary["totals"], Parsed(html).text
    assert totals["parameters"]["reference"] == 6 * 205_962
    assert f"parameters {totals['parameters']['shipped']:,} 1,235,772" in text
    assert f"bytes of model files {totals['bytes']['shipped']:,} {6 * 830_952:,}" in text
    assert totals["modelled_energy_joule"]["reference"] == sum(260 + i for i in range(6))


def test_a_limit_that_is_half_unused_says_why(html: str) -> None:
    text = Parsed(html).text
    assert "less than half of what" in text
    assert "because its cluster has one backbone for all, within the limit of its smallest" in text
    assert "Rule pareto. Eq. 13: of the front's variants" in text
    assert "matching.header_budget keeps 36,000 free for the header" in text


def refitted(page: Page) -> Page:
    """The same with headers fitted to variants, and sizes with the words that devices keep."""
    rows = [
        {**row, "refit_loss": row["val_loss"] / 2, "refit_accuracy": 0.4321 + at / 100}
        for at, row in enumerate(page.variants)
    ]
    matches = [
        replace(m, vocabulary=1234, parameters=tuple(v["parameters"] - 1000 for v in rows))
        for m in page.matches
    ]
    reference = {**page.summary["reference"], "no_layer_accuracy": 0.3456}
    summary = {**page.summary, "reference": reference}
    return replace(page, variants=rows, matches=matches, summary=summary)


def test_variants_are_shown_with_both_headers_where_headers_were_fitted(
    small: Page, html: str
) -> None:
    """The table that chooses variants: accuracy with the reference's header and with their own,
    what no layer at all reaches, and zeta beside the true count."""
    assert 'id="variants"' not in html, "of images, nothing changes"
    page = refitted(small)
    text = Parsed(shown(page)).text
    for at, (row, own) in enumerate(zip(small.variants, page.variants, strict=True)):
        edges = ", ".join(m.edge for m in page.matches if m.chosen == at)
        accuracies = f"{row['val_accuracy']:.3f} {own['refit_accuracy']:.3f}"
        line = (
            f"{row['width']} {row['depth']} {row['parameters']:,} {row['zeta']:,.0f} {accuracies}"
        )
        assert f"{line} {edges}".strip() in text
    assert "without any layer, reaches 0.346" in text


def test_limits_count_the_words_that_devices_keep(small: Page) -> None:
    page = refitted(small)
    text, match = Parsed(shown(page)).text, page.matches[0]
    assert match.parameters is not None
    assert f"{match.parameters[match.chosen]:,} matching.method" in text
    assert "with 1,234 words" in text
    loss = page.variants[match.chosen]["refit_loss"]
    assert "It chose the largest that fits" in text or f"the chosen has {loss:.3f}" in text


def test_each_device_s_classes_are_listed_worst_first(small: Page, html: str) -> None:
    text = Parsed(html).text
    for device in small.summary["devices"]:
        right = sum(row[name] for name, row in device["confusion"].items())
        named = f"{device['device']} ({device['context']})"
        words = ", ".join(m.words for m in mistakes(device["confusion"]))
        assert f"{named}: {right} of {device['test_samples']} right; took {words}" in text
    assert "class samples right share right most confused with" in text
    many = made_up(2, 1, classes=60)
    assert f"The {CLASSES} worst of 30 classes" in Parsed(shown(many)).text


def test_contexts_are_compared_where_there_are_several(small: Page, html: str) -> None:
    text = Parsed(html).text
    assert "context devices received received, own classes refined gained, points ceiling" in text
    for name, row in small.summary["by_context"].items():
        means = [
            f"{row[f'accuracy_{what}_mean']:.3f}"
            for what in ("received", "received_own_classes", "refined")
        ]
        assert " ".join([name, str(row["devices"]), *means]) in text
    assert "The cloud's data have none of: night, rain." in text
    assert "Context by context" in text
    alike = replace(small, summary={**small.summary, "by_context": {}})
    assert "Context by context" not in Parsed(shown(alike)).text


def test_it_says_what_there_would_be_without_acme_where_a_cnn_was_trained(
    small: Page,
) -> None:
    assert "without ACME" not in Parsed(shown(untold(small))).text
    cnn = {"parameters": 75_370, "test_accuracy": 0.853, "accuracy_own_classes_mean": 0.912}
    warned = cnn | {"warning": "a plain CNN of 75,370 parameters is better <than it>"}
    for given in (cnn | {"warning": None}, warned):
        text = Parsed(shown(replace(small, summary={**small.summary, "cnn": given}))).text
        assert "0.912 what there would be without ACME: a plain CNN of 75,370 parameters" in text
        assert "0.853 on public test data" in text
        assert (f"Warning: {warned['warning']}." in text) == (given is warned)


def untold(page: Page) -> Page:
    """A run without a plain CNN and without a ceiling."""
    devices = [
        {k: v for k, v in d.items() if "cnn" not in k and "ceiling" not in k}
        for d in page.summary["devices"]
    ]
    fleet = {
        k: v for k, v in page.summary["fleet"].items() if "ceiling" not in k and "gap" not in k
    }
    by_context = {
        name: {k: v for k, v in row.items() if "ceiling" not in k and "gap" not in k}
        for name, row in page.summary["by_context"].items()
    }
    beside = {"devices": devices, "fleet": fleet, "cnn": None, "ceiling": None}
    beside["by_context"] = by_context
    return replace(page, summary={**page.summary, **beside})


def test_a_run_without_a_ceiling_speaks_of_none(small: Page) -> None:
    text = Parsed(shown(untold(small))).text
    assert "eiling" not in text
    assert "points what refining gains over that" in text


def test_it_says_how_the_reference_was_made(small: Page, html: str) -> None:
    made = "a ViT of 6 layers, trained for 935 steps"
    reference = {**small.summary["reference"], "made": made}
    text = Parsed(shown(replace(small, summary={**small.summary, "reference": reference}))).text
    assert f"It is {made}." in text
    assert "It is a ViT" not in Parsed(html).text


def test_a_reference_that_may_be_no_better_than_chance_is_the_first_thing_said(small: Page) -> None:
    warning = "the reference model is not shown to be better than chance <of 60 classes>"
    reference = {**small.summary["reference"], "warning": warning}
    text = Parsed(shown(replace(small, summary={**small.summary, "reference": reference}))).text
    assert text.index(f"Warning: {warning}.") < text.index("mean accuracy")


def test_one_device_has_no_interval_of_its_mean() -> None:
    assert "no interval: one device" in Parsed(shown(made_up(1, 1))).text


def test_nothing_is_fetched_and_no_id_stands_twice(html: str) -> None:
    page = Parsed(html)
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
    assert not page.named("link")
    assert not re.search(r"@import|url\((?!#)", html)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {a["href"] for a in page.named("a")}
    assert {f"#{name}" for name in ids} >= targets


@pytest.mark.parametrize(
    ("edges", "classes"), [(5, 10), pytest.param(200, 60, marks=pytest.mark.slow)]
)
def test_a_fleet_of_200_is_a_page_of_bounded_size(edges: int, classes: int) -> None:
    page = made_up(200, edges, classes)
    html = shown(page)
    assert len(html.encode()) < 3_000_000
    assert html.count('<tr class="edge"') == edges
    assert html.count("Pareto front grid") == min(edges, PICTURED)
    first = re.findall(r'href="#of-(device-\d+)"', html)
    assert len(first) == 200
    scores = {d["device"]: d["accuracy_refined"] for d in page.summary["devices"]}
    size = 200 // edges
    for start in range(0, 200, size):
        group = [scores[name] for name in first[start : start + size]]
        assert group == sorted(group)


def test_the_terminal_s_table_is_of_the_same_columns_and_reads_older_summaries() -> None:
    summary = made_up(2, 1).summary
    row = table(summary)[0]
    assert list(row) == [column.name for column in COLUMNS if column.where != "report"]
    alike = [{**d, "context": "all"} for d in summary["devices"]]
    assert list(table({"devices": alike})[0]) == [name for name in row if name != "context"]
    assert re.fullmatch(r"0\.\d\d to [01]\.\d\d", row["95 %"])
    older = [{k: v for k, v in d.items() if "reference" not in k} for d in summary["devices"]]
    assert table({"devices": older})[0]["reference, own classes"] == "-"
    assert table({"devices": older})[0]["given up"] == "-"
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
