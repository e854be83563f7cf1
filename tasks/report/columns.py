"""The fleet as a table: every column once, with its explanation, for the terminal, Prefect's page
and the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tasks.data.dataset import ALL
from tasks.links.records import Match

Row = Mapping[str, Any]
NOTHING = "-"
"""What a cell says where a summary of an older version does not tell."""


@dataclass(frozen=True)
class Column:
    """One column: what it shows of a device, and what a reader must know to understand it.

    Attributes:
        value: what it is sorted by.
        form: how the value is written, if not as :func:`format` does with it.
        where: in the ``terminal`` (and on Prefect's page), in the ``report``, or in both. What is
            the same for all devices of an edge stands in the report above them.
        spare: in which turn a terminal that is too narrow goes without it; 0: it never does.
        optional: whether it is left out where it tells nothing of any device.
    """

    name: str
    says: str
    value: Callable[[Row], Any]
    form: str | Callable[[Row], str] = ""
    where: Literal["both", "terminal", "report"] = "both"
    spare: int = 0
    optional: bool = False

    def key(self, device: Row) -> Any:
        """What a device is sorted by; None where its summary does not tell."""
        try:
            return self.value(device)
        except KeyError:
            return None

    def text(self, device: Row) -> str:
        """The cell of a device."""
        if self.key(device) is None:
            return NOTHING
        return self.form(device) if callable(self.form) else format(self.key(device), self.form)


def given_up(device: Row) -> float:
    """The accuracy of the reference, told the device's classes, less the shipped model's, on the
    device's test split."""
    return float(device["accuracy_reference_own_classes"] - device["accuracy_refined"])


def loss_chosen_by(variant: Row) -> float:
    """The validation loss that a variant was chosen by: of a header fitted to it, where one was."""
    return float(variant.get("refit_loss", variant["val_loss"]))


def counted(match: Match, variants: Sequence[Row]) -> Sequence[int]:
    """What each variant weighs for a cluster: of texts with its largest vocabulary."""
    return match.parameters or [variant["parameters"] for variant in variants]


def between(low: float, high: float) -> str:
    """An interval of shares, in few characters."""
    return f"{low:.2f} to {high:.2f}"


def points(share: float) -> str:
    """A difference of accuracies in points of 1 %, with its sign."""
    text = f"{100 * share:+.1f}".replace("-", "\N{MINUS SIGN}")
    return text if text[1:] != "0.0" else "0.0"


def spelled(count: int) -> str:
    """Bytes as a person says them: two digits and a unit of 1,000."""
    for unit, size in (("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.{1 if count < 10 * size else 0}f} {unit}"
    return f"{count} B"


SCORES = ("metrics", "receipt")
"""Kinds of messages that say how well a device does, and nothing that peers learn from."""


def in_rounds(bytes_of: Mapping[str, Mapping[str, int]]) -> list[dict[str, int]]:
    """Of a device's bytes, by round and kind, those of each round but for :data:`SCORES`."""
    return [
        {kind: count for kind, count in by_kind.items() if kind not in SCORES}
        for t, by_kind in bytes_of.items()
        if int(t) > 0
    ]


def exchanged(bytes_of: Mapping[str, Mapping[str, int]]) -> int:
    """All bytes of :func:`in_rounds`."""
    return sum(sum(by_kind.values()) for by_kind in in_rounds(bytes_of))


def last_gain(receipt: Mapping[str, Any]) -> float | None:
    """What the peers' messages had gained after the last round; None where none were exchanged."""
    gained = receipt["gained"]
    return gained[max(gained, key=int)] if gained else None


COLUMNS = (
    Column("device", "Who the model is for.", lambda d: d["device"]),
    Column(
        "cluster", "The edge server that the device belongs to.", lambda d: d["cluster"], spare=6
    ),
    Column(
        "context",
        "The circumstances in which the device's samples arise: how they look, or their language.",
        lambda d: None if d["context"] == ALL else d["context"],
        spare=10,
        optional=True,
    ),
    Column(
        "received",
        "Accuracy of the model as the edge sent it, on the device's own test split, as all "
        "accuracies here.",
        lambda d: d["accuracy_received"],
        ".3f",
    ),
    Column(
        "received, own classes",
        "The same received model, told which classes the device has: no training. Much of the "
        "gain of refinement can be only that.",
        lambda d: d["accuracy_received_own_classes"],
        ".3f",
        spare=8,
    ),
    Column(
        "refined",
        "Accuracy of what ships, as it ships: it answers the device's classes alone, unless "
        "refinement.answers says all.",
        lambda d: d["accuracy_refined"],
        ".3f",
    ),
    Column(
        "wanted",
        "Classes that the device will meet and has no samples of to learn from; they are among its "
        "classes, and in its test split.",
        lambda d: ", ".join(d["wanted"]),
        where="report",
        optional=True,
    ),
    Column(
        "received, wanted",
        "Of the test samples of the wanted classes alone: the accuracy of the received model, told "
        "the device's classes.",
        lambda d: d["accuracy_received_wanted"],
        ".3f",
        where="report",
        optional=True,
    ),
    Column(
        "refined, wanted",
        "Accuracy of what ships on the test samples of classes alone that the device will meet and "
        "has no samples of to learn from.",
        lambda d: d["accuracy_refined_wanted"],
        ".3f",
        spare=12,
        optional=True,
    ),
    Column(
        "ceiling",
        "Accuracy of the received header tuned on many more samples of the device's context and "
        "classes, which nobody else got: what there was to gain.",
        lambda d: d["accuracy_ceiling"],
        ".3f",
        spare=7,
        optional=True,
    ),
    Column(
        "95 %",
        "Interval of the refined accuracy that the number of the device's test samples allows "
        "(Wilson).",
        lambda d: d["accuracy_refined_low"],
        lambda d: between(d["accuracy_refined_low"], d["accuracy_refined_high"]),
        spare=9,
    ),
    Column(
        "reference, own classes",
        "Accuracy of the large reference model on the same test split, told which classes the "
        "device has.",
        lambda d: d["accuracy_reference_own_classes"],
        ".3f",
    ),
    Column(
        "plain CNN, own classes",
        "Accuracy of a plain CNN, trained on the cloud's data as the reference was and told which "
        "classes the device has: what there would be without ACME.",
        lambda d: d["accuracy_cnn_own_classes"],
        ".3f",
        spare=11,
        optional=True,
    ),
    Column(
        "given up",
        "The reference, told the device's classes, less refined, in points of 1 %: what the small "
        "model costs this device. Negative: it is better than the reference.",
        given_up,
        lambda d: points(given_up(d)),
    ),
    Column(
        "backbone",
        "Width (the share of heads and neurons that each layer keeps) and depth (layers) of the "
        "variant that the whole cluster was matched with.",
        lambda d: (d["width"], d["depth"]),
        lambda d: f"w {d['width']} d {d['depth']}",
        where="terminal",
        spare=3,
    ),
    Column(
        "header",
        "The header that the edge's search chose: what turns the backbone's tokens into classes.",
        lambda d: d["header"],
        where="terminal",
        spare=4,
    ),
    Column(
        "pruned",
        "The share of the header's parameters that the device removed in its rounds.",
        lambda d: 1 - d["header_params_refined"] / d["header_params_received"],
        ".0%",
        spare=2,
    ),
    Column("params", "Parameters of backbone and header as shipped.", lambda d: d["params"], ","),
    Column(
        "words",
        "Words and pieces that the device keeps of the encoder's vocabulary; each has a row of "
        "numbers, which are among params.",
        lambda d: d["words"],
        ",",
        spare=6,
        optional=True,
    ),
    Column(
        "limit",
        "The most parameters that the device may have (4 bytes each).",
        lambda d: d["storage_limit"],
        ",",
        spare=5,
    ),
    Column(
        "used",
        "Parameters shipped, of the limit. Why so few: see the device's edge, below.",
        lambda d: d["params"] / d["storage_limit"],
        ".0%",
        where="report",
    ),
    Column(
        "energy J*",
        "Modelled, not measured: joules of the backbone alone on this device (Eq. 1).",
        lambda d: d["modelled_energy_joule"],
        ".0f",
        spare=7,
    ),
    Column(
        "latency s*",
        "Modelled, not measured: seconds for an epoch on this device (Eq. 2).",
        lambda d: d["modelled_latency_s"],
        ".2f",
        where="report",
    ),
    Column(
        "measured ms",
        "Measured: milliseconds for one batch through the shipped model, on the machine that "
        "evaluated (not on the device), beside whatever else ran there.",
        lambda d: 1e3 * d["latency_s"],
        ".2f",
        where="report",
    ),
    Column(
        "sent",
        "Bytes that the device told its peers in all rounds: what it exchanged, without consented "
        "samples and numbers on how well it does.",
        lambda d: exchanged(d["exchange"]["up_bytes"]),
        lambda d: spelled(exchanged(d["exchange"]["up_bytes"])),
        where="report",
    ),
    Column(
        "peers gained",
        "Points of accuracy on the device's validation split that its peers' messages gained over "
        "the same steps alone; of classes that it wants and has no samples of, virtual samples of "
        "its peers' stand in.",
        lambda d: last_gain(d["exchange"]),
        lambda d: points(last_gain(d["exchange"]) or 0.0),
        where="report",
        optional=True,
    ),
    Column(
        "ships",
        "Which of its models the device chose, by its validation split: peers (a round with its "
        "peers), alone (the same steps without them), pruned (the better of these with fewer "
        "neurons), or received, where none is better than that.",
        lambda d: d["way_kept"],
        spare=1,
    ),
)
"""In this order. A short name, and a sentence that the report shows with it."""
SPARE = [c.name for c in sorted(COLUMNS, key=lambda c: c.spare) if c.spare]
"""What a narrow terminal goes without, in that order."""


def table(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """The fleet as rows of short columns, for a terminal or Prefect's page."""
    columns = shown(summary["devices"], "terminal")
    return [{c.name: c.text(device) for c in columns} for device in summary["devices"]]


def shown(devices: Sequence[Row], where: Literal["terminal", "report"]) -> list[Column]:
    """The columns that are shown there of these devices."""
    return [
        column
        for column in COLUMNS
        if column.where in ("both", where)
        and not (column.optional and all(column.key(device) is None for device in devices))
    ]


def worst_first(devices: Sequence[Row]) -> list[Row]:
    """Devices from the lowest refined accuracy up; equal ones by name."""
    return sorted(devices, key=lambda d: (d["accuracy_refined"], d["device"]))
