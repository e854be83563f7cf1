"""Great Expectations on the manifest, before anything trains."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.data import suite
from tasks.data.rows import COLUMNS
from tasks.data.sharing import SHARED_RANGE, shared_bounds
from tasks.run.errors import ValidationError
from tasks.run.words import counted

SAMPLE_ID = r"(?:train|test|own\d{2,})-\d{6,}"  # as in expectations/manifest.json
REREAD = 500
NAMED_ROWS = 5


@dataclass(frozen=True)
class Rules:
    """What the manifest must keep to.

    Attributes:
        shared_range: of the fraction of a device's train split that it shares, as whole samples.
        min_per_class: train samples that a device needs of each class that it is given; of one
            that it brings itself, 1.
        seed: of the draw of samples that are read again.
        classes: the labels that each device (by name) must have in its train split; without it,
            a device's classes are those of its rows.
        contexts: those that the samples of the cloud and of each device (by name) may have;
            without it, any.
        wanted: the labels of which each device (by name) may have test samples alone.
        unseen: those of them that its test split must have.
    """

    shared_range: tuple[float, float] = SHARED_RANGE
    min_per_class: int = 5
    seed: int = 0
    classes: Mapping[str, Collection[int]] = field(default_factory=dict)
    contexts: Mapping[str, Collection[str]] = field(default_factory=dict)
    wanted: Mapping[str, Collection[int]] = field(default_factory=dict)
    unseen: Mapping[str, Collection[int]] = field(default_factory=dict)


def validate(
    manifest: pd.DataFrame, reread: Callable[[list[str]], list[str]], out: Path, rules: Rules
) -> dict[str, Any]:
    """Check who owns which sample; leave ``validation.json`` and Data Docs in ``out``.

    Args:
        manifest: of :mod:`tasks.data.partition`.
        reread: content hashes of samples, read again from the raw data by ``sample_id``.

    Returns:
        Great Expectations' result, as in ``validation.json``.

    Raises:
        ValidationError: an expectation failed; names it and the first rows.
    """
    whole = set(COLUMNS) <= set(manifest.columns)  # else only this is left to say
    frame = with_checks(manifest, reread, rules) if whole else manifest
    expectations = _expectations(rules.classes) if whole else _columns()
    result = suite.run("manifest", frame, expectations, out, index="sample_id")
    failed = [r for r in result["results"] if not r["success"]]
    if failed:
        gone = _gone(frame, rules.classes) if whole else []
        words = "; ".join(_in_words(r, gone) for r in failed)
        raise ValidationError(
            f"the manifest breaks {len(failed)} expectation(s): {words}. Nothing was trained. "
            f"Details: {out / 'validation.json'} and {out / 'data_docs/index.html'}"
        )
    return result


def with_checks(
    manifest: pd.DataFrame,
    reread: Callable[[list[str]], list[str]],
    rules: Rules,
) -> pd.DataFrame:
    """The manifest with a column for each rule that spans rows, so that a broken rule names its
    rows."""
    frame = manifest.reset_index(drop=True)
    own = frame["tier"] != "edge"
    device = frame["tier"] == "device"
    frame["one_owner"] = _distinct(frame, own, "sample_id", "owner") == 1
    # a content may lie in one split alone, whoever owns it; shared samples are judged below
    frame["one_split"] = _distinct(frame, own, "sha256", "split") == 1
    frame["one_sample"] = _distinct(frame, own, "sha256", "sample_id") == 1
    once = [frame["sample_id"], frame["owner"].where(own, "edge")]  # to one edge, in one split
    frame["once"] = ~pd.concat(once, axis=1).duplicated(keep=False)
    brought = frame["sample_id"].str.startswith("own", na=False)
    frame["own_source"] = brought | (
        frame["sample_id"].str.startswith("test-", na=False) == (frame["split"] == "test")
    )
    frame["own_device"] = ~brought | (
        device & (frame["sample_id"].str[3:].str.split("-").str[0] == frame["owner"].str[7:])
    )
    frame["consented"] = own == frame["shared_by"].isna()
    frame.loc[~own, "consented"] &= _is_train_of_sharer(frame)[~own]
    frame["own_tier"] = (frame["tier"] == "cloud") == (frame["owner"] == "cloud")
    frame["own_tier"] &= frame.groupby("owner")["tier"].transform("nunique") == 1
    whose = frame["shared_by"].fillna(frame["owner"])
    pairs = zip(whose, frame["context"], strict=True)
    frame["own_context"] = [context in rules.contexts.get(o, (context,)) for o, context in pairs]
    several = frame["context"].groupby(whose).transform("nunique") > 1
    frame["own_context"] &= (frame["tier"] == "cloud") | ~several
    least = np.where(brought, 1, rules.min_per_class)  # a device brings what it has
    pairs = zip(whose, frame["label"], strict=True)
    wanted = np.array([label in rules.wanted.get(o, ()) for o, label in pairs], bool)
    frame["met_alone"] = ~wanted | (frame["split"] == "test")
    frame["meets"] = ~device | frame["owner"].map(_meets(frame, rules.unseen)).astype(bool)
    frame["enough"] = ~device | wanted | (_train_of_class(frame) >= least)
    frame["has_splits"] = ~device | (frame.groupby("owner")["split"].transform("nunique") == 3)
    frame["share_declared"] = _share_declared(frame, rules.shared_range)
    known = frame[frame["sample_id"].str.fullmatch(SAMPLE_ID, na=False)]
    chosen = known.sample(min(REREAD, len(known)), random_state=rules.seed)
    again = pd.Series(_reread(reread, chosen["sample_id"].tolist()), index=chosen.index, dtype=str)
    frame["as_reread"] = (again == chosen["sha256"]).reindex(frame.index, fill_value=True)
    frame["device_class"] = (frame["owner"] + ":" + frame["label"].astype(str)).where(
        device & (frame["split"] == "train")
    )
    return frame


def _distinct(frame: pd.DataFrame, own: pd.Series, key: str, value: str) -> NDArray:
    """Per row, how many values its key has over the rows of the cloud and the devices; NaN where
    it has none there (an edge's sample that no device owns)."""
    counts = frame[own].groupby(key)[value].nunique()
    return counts.reindex(frame[key]).to_numpy()


def _reread(reread: Callable[[list[str]], list[str]], ids: list[str]) -> list[str]:
    """The hashes of the samples; of one that the source does not have, an empty word."""
    try:
        return reread(ids) if ids else []
    except LookupError:
        return [*_reread_one_by_one(reread, ids)]


def _reread_one_by_one(reread: Callable[[list[str]], list[str]], ids: list[str]) -> Iterator[str]:
    for sample in ids:
        try:
            yield from reread([sample])
        except LookupError:
            yield ""


def _is_train_of_sharer(frame: pd.DataFrame) -> pd.Series:
    """Whether ``shared_by`` has that very sample, content and label in its train split."""
    train = frame[(frame["tier"] == "device") & (frame["split"] == "train")]
    facts = ["sample_id", "sha256", "label"]
    allowed = set(train[["owner", *facts]].itertuples(index=False, name=None))
    pairs = frame[["shared_by", *facts]].itertuples(index=False, name=None)
    return pd.Series([pair in allowed for pair in pairs], index=frame.index)


def _train_of_class(frame: pd.DataFrame) -> pd.Series:
    """Per row, how many train samples of its class its owner has."""
    return (frame["split"] == "train").groupby([frame["owner"], frame["label"]]).transform("sum")


def _meets(frame: pd.DataFrame, unseen: Mapping[str, Collection[int]]) -> dict[str, bool]:
    """Per owner, whether it is tested on the classes that it is to meet."""
    tested = frame[frame["split"] == "test"].groupby("owner")["label"].unique()
    return {o: {*unseen.get(o, ())} <= {*tested.get(o, ())} for o in frame["owner"].unique()}


def _share_declared(frame: pd.DataFrame, limits: tuple[float, float]) -> pd.Series:
    """Per device row of the train split, whether its device shares as declared; true elsewhere."""
    given = ~frame["sample_id"].str.startswith("own", na=False)  # what a device brings stays
    train = frame[given & (frame["tier"] == "device") & (frame["split"] == "train")]
    shared = frame[frame["tier"] == "edge"].groupby("shared_by").size()
    sizes = train.groupby("owner").size()
    fine = {}
    for owner, size in sizes.items():
        least, most = shared_bounds(int(size), limits)
        fine[owner] = least <= shared.get(owner, 0) <= most
    return train["owner"].map(fine).astype(bool).reindex(frame.index, fill_value=True)


def _expectations(classes: Mapping[str, Collection[int]]) -> list[Any]:
    """The suite's, and that each device has the classes that it must."""
    from great_expectations import expectations as gxe

    pairs = sorted(f"{name}:{int(label)}" for name in classes for label in classes[name])
    # one for all: an expectation a pair takes minutes for hundreds of devices
    has_classes = gxe.ExpectColumnDistinctValuesToContainSet(
        column="device_class",
        value_set=pairs,
        notes="every device has train samples of the classes that it must",
    )
    return [*suite.load("manifest"), *([has_classes] if pairs else [])]


def _columns() -> list[Any]:
    return [e for e in suite.load("manifest") if e.expectation_type == "expect_column_to_exist"]


def _gone(frame: pd.DataFrame, classes: Mapping[str, Collection[int]]) -> list[str]:
    """The classes that devices must have and have not, in words. (The expectation's result holds
    but the first of the values that it saw.)"""
    has = set(frame["device_class"].dropna())
    return [
        f"{name} has none of class {int(label)}"
        for name in sorted(classes)
        for label in sorted(classes[name])
        if f"{name}:{int(label)}" not in has
    ]


def _in_words(result: dict[str, Any], gone: list[str]) -> str:
    config = result["expectation_config"]
    column = config["kwargs"].get("column", "the table")
    what = config.get("notes") or f"{config['type']} on {column}"
    found = result["result"].get("unexpected_index_list") or []
    rows = [str(row.get("sample_id")) for row in found[:NAMED_ROWS]]
    count = result["result"].get("unexpected_count", "")
    if rows:
        return f"{what} ({counted(count, 'row')}, first {', '.join(rows)})"
    if column == "device_class" and gone:
        return f"{what} ({len(gone)} are missing, first: {', '.join(gone[:NAMED_ROWS])})"
    trouble = (result.get("exception_info") or {}).get("exception_message")
    return f"{what} ({trouble})" if trouble else str(what)
