"""Great Expectations on the manifest, before anything trains."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.errors import ValidationError
from tasks.store import atomic_write

TIERS, SPLITS = ["cloud", "edge", "device"], ["train", "val", "test"]
REREAD = 500
NAMED_ROWS = 5


def validate(
    manifest: pd.DataFrame,
    *,
    reread: Callable[[list[str]], list[str]],
    out: Path,
    shared_range: tuple[float, float] = (0.1, 0.2),
    min_per_class: int = 5,
    seed: int = 0,
) -> None:
    """Check who owns which sample; leave ``validation.json`` and Data Docs in ``out``.

    Args:
        manifest: of :mod:`tasks.data.partition`.
        reread: content hashes of samples, read again from the raw data by ``sample_id``.
        shared_range: of the fraction of a device's train split that it shares.
        min_per_class: train samples that a device needs of each class it has.

    Raises:
        ValidationError: an expectation failed; names it and the first rows.
    """
    frame = with_checks(manifest, reread, shared_range, min_per_class, seed)
    result = _run(frame, out)
    atomic_write(out / "validation.json", json.dumps(result, indent=2, default=str).encode())
    failed = [r for r in result["results"] if not r["success"]]
    if failed:
        words = "; ".join(_in_words(r, frame) for r in failed)
        raise ValidationError(
            f"the manifest breaks {len(failed)} expectation(s): {words}. Nothing was trained. "
            f"Details: {out / 'validation.json'} and {out / 'data_docs/index.html'}"
        )


def with_checks(
    manifest: pd.DataFrame,
    reread: Callable[[list[str]], list[str]],
    shared_range: tuple[float, float],
    min_per_class: int,
    seed: int,
) -> pd.DataFrame:
    """The manifest with a column for each rule that spans rows, so that a broken rule names its
    rows."""
    frame = manifest.copy()
    own = frame["tier"] != "edge"
    by_sample = frame[own].groupby("sample_id")
    owners = by_sample["owner"].nunique().reindex(frame["sample_id"]).to_numpy()
    frame["one_owner"] = owners == 1  # an edge's row without an owner elsewhere has none
    # a content may lie in one split alone, whoever owns it; shared samples are judged below
    splits = frame[own].groupby("sha256")["split"].nunique().reindex(frame["sha256"]).to_numpy()
    frame["one_split"] = splits == 1
    contents = frame[own].groupby("sha256")["sample_id"].nunique()
    frame["one_sample"] = contents.reindex(frame["sha256"]).to_numpy() == 1
    frame["once"] = ~frame.duplicated(["sample_id", "owner"], keep=False)
    frame["consented"] = own | _is_train_of_sharer(frame)
    sizes = frame[frame["tier"] == "device"].groupby(["owner", "split", "label"]).size()
    frame["enough"] = _enough(frame, sizes, min_per_class)
    frame["share"] = _share(frame)
    frame["share_declared"] = frame["share"].isna() | frame["share"].between(*shared_range)
    chosen = frame.sample(min(REREAD, len(frame)), random_state=seed)
    frame["as_reread"] = True
    same = pd.Series(reread(chosen["sample_id"].tolist()), index=chosen.index) == chosen["sha256"]
    frame.loc[chosen.index, "as_reread"] = same
    return frame


def _is_train_of_sharer(frame: pd.DataFrame) -> pd.Series:
    train = frame[(frame["tier"] == "device") & (frame["split"] == "train")]
    allowed = set(zip(train["owner"], train["sample_id"], strict=True))
    pairs = zip(frame["shared_by"], frame["sample_id"], strict=True)
    return pd.Series([pair in allowed for pair in pairs], index=frame.index)


def _enough(frame: pd.DataFrame, sizes: pd.Series, least: int) -> pd.Series:
    """Whether a device has enough train samples of the row's class, in any split it appears in."""
    if not (frame["tier"] == "device").any():
        return pd.Series(True, index=frame.index)
    train = sizes.xs("train", level="split").to_dict() if "train" in _splits(sizes) else {}
    keys = zip(frame["owner"], frame["label"], strict=True)
    counts = pd.Series([train.get(key, 0) for key in keys], index=frame.index)
    return (frame["tier"] != "device") | (counts >= least)


def _splits(sizes: pd.Series) -> set[str]:
    return set(sizes.index.get_level_values("split"))


def _share(frame: pd.DataFrame) -> pd.Series:
    """Per device row of the train split: what fraction of that split the device shares."""
    train = frame[(frame["tier"] == "device") & (frame["split"] == "train")]
    shared = frame[frame["tier"] == "edge"].groupby("shared_by").size()
    share = shared.reindex(train["owner"].unique(), fill_value=0) / train.groupby("owner").size()
    # whole samples: a share may miss the declared range by less than one sample
    return train["owner"].map(share.round(6)).reindex(frame.index)


def _expectations() -> list[Any]:
    from great_expectations import expectations as gxe

    rules = {
        "one_owner": "no sample has two owners beyond the declared sharing",
        "one_split": "no content lies in two of train, val and test",
        "one_sample": "no content lies under two sample ids",
        "once": "no owner has a sample twice",
        "consented": "an edge has only train samples of devices that shared them",
        "enough": "every device has enough train samples of each of its classes",
        "share_declared": "every device shares 10 to 20 % of its train split",
        "as_reread": "hashes match samples read again",
    }
    return [
        gxe.ExpectTableColumnCountToBeBetween(min_value=7),
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
        gxe.ExpectColumnValuesToNotBeNull(column="sample_id"),
        gxe.ExpectColumnValuesToMatchRegex(column="sha256", regex="^[0-9a-f]{64}$"),
        gxe.ExpectColumnValuesToBeInSet(column="tier", value_set=TIERS),
        gxe.ExpectColumnValuesToBeInSet(column="split", value_set=SPLITS),
        gxe.ExpectColumnValuesToBeBetween(column="label", min_value=0),
        *(
            gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[True], notes=words)
            for column, words in rules.items()
        ),
    ]


def _run(frame: pd.DataFrame, out: Path) -> dict[str, Any]:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    docs = (out / "data_docs").absolute()
    context.add_data_docs_site(
        "local",
        {
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {
                "class_name": "TupleFilesystemStoreBackend",
                "base_directory": str(docs),
            },
        },
    )
    batch = (
        context.data_sources.add_pandas("manifest")
        .add_dataframe_asset("manifest")
        .add_batch_definition_whole_dataframe("all")
    )
    suite = context.suites.add(gx.ExpectationSuite("manifest", expectations=_expectations()))
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name="manifest", data=batch, suite=suite)
    )
    checkpoint = gx.Checkpoint(
        name="manifest",
        validation_definitions=[definition],
        actions=[gx.checkpoint.UpdateDataDocsAction(name="docs", site_names=["local"])],
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["sample_id"]},
    )
    checkpoint_result = context.checkpoints.add(checkpoint).run({"dataframe": frame})
    [result] = checkpoint_result.run_results.values()
    described: dict[str, Any] = result.to_json_dict()
    return described


def _in_words(result: dict[str, Any], frame: pd.DataFrame) -> str:
    config = result["expectation_config"]
    column = config["kwargs"].get("column", "the table")
    what = config.get("notes") or f"{config['type']} on {column}"
    found = result["result"].get("unexpected_index_list") or []
    rows = [str(row.get("sample_id")) for row in found[:NAMED_ROWS]]
    count = result["result"].get("unexpected_count", "")
    return f"{what} ({count} rows, first {', '.join(rows)})" if rows else str(what)
