"""Great Expectations: suites are the reviewable files ``tasks/data/expectations/<name>.json``."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.run.files import atomic_write

FOLDER = Path(__file__).parent / "expectations"


def load(name: str, parameters: Mapping[str, Any] | None = None) -> list[Any]:
    """The expectations of a suite file, as Great Expectations' objects.

    ``{"$PARAMETER": "x"}`` in the file stands for ``parameters["x"]``. It is filled in here, since
    Data Docs cannot draw an expectation whose values are still to come.
    """
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    def filled(item: dict[str, Any]) -> Any:
        return parameters[item["$PARAMETER"]] if parameters and "$PARAMETER" in item else item

    content = json.loads((FOLDER / f"{name}.json").read_text(), object_hook=filled)
    return [ExpectationConfiguration(**e).to_domain_obj() for e in content["expectations"]]


def run(
    name: str,
    frame: pd.DataFrame,
    expectations: Sequence[Any],
    out: Path,
    *,
    index: str | None = None,
) -> dict[str, Any]:
    """Check a frame; leave ``validation.json`` and Data Docs in ``out``.

    Args:
        index: the column that names a row in the result.

    Returns:
        Great Expectations' result, as in ``validation.json``.
    """
    gx, context = _context(out)
    batch = (
        context.data_sources.add_pandas(name)
        .add_dataframe_asset(name)
        .add_batch_definition_whole_dataframe("all")
    )
    suite = context.suites.add(gx.ExpectationSuite(name, expectations=list(expectations)))
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name=name, data=batch, suite=suite)
    )
    named = {"unexpected_index_column_names": [index]} if index else {}
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(
            name=name,
            validation_definitions=[definition],
            actions=[gx.checkpoint.UpdateDataDocsAction(name="docs", site_names=["local"])],
            result_format={"result_format": "COMPLETE", **named},
        )
    )
    [result] = checkpoint.run({"dataframe": frame}).run_results.values()
    described: dict[str, Any] = result.to_json_dict()
    atomic_write(out / "validation.json", json.dumps(described, indent=2, default=str).encode())
    return described


def _context(out: Path) -> tuple[Any, Any]:
    """Great Expectations and a context that lives in memory, with Data Docs in ``out``."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    docs = (out / "data_docs").absolute()
    shutil.rmtree(docs, ignore_errors=True)  # pages of earlier runs
    place = str(docs).replace("$", r"\$")  # else it is the name of a variable
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": place}
    context.add_data_docs_site(
        "local",
        {
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": store,
        },
    )
    return gx, context
