"""The partition stage's task: raw data in, one file of samples an owner and a manifest out."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tasks.data import pin, validation
from tasks.data.contexts import Contexts
from tasks.data.dataset import content_hashes
from tasks.data.dealing import arrays_of, deal, raw_of
from tasks.data.modality import VERSION, to_json
from tasks.data.partition import of_part
from tasks.data.plan import Plan, devices_of, needs
from tasks.data.raw import Arrays, Raw, taken
from tasks.data.rows import Source, position
from tasks.data.samples import CLOUD, SPLITS, UNUSED, WANTED, as_tensors, samples_name, unused_name
from tasks.data.skipped import write_skipped
from tasks.data.unseen import dealt_classes, fewer, wanted_labels
from tasks.data.unused import rows_of, unused
from tasks.run.cached import retried
from tasks.run.files import atomic_write, write_json
from tasks.run.log import LOG
from tasks.run.store import encode
from tasks.run.written import rewriting, write_sums
from tasks.settings.case import Case
from tasks.settings.params import Settings


@retried("partition and validate")
def partition_data(case: Case, settings: Settings) -> dict[str, int]:
    """Check the pin, divide the samples, validate the manifest, write each owner's file.

    Returns:
        The number of rows a tier.

    Raises:
        DataError: the data are not what is pinned, or too few.
        ValidationError: the manifest breaks an expectation; nothing is written but its report.
    """
    content = pin.verify(settings.data.folder, case.pin)
    return divide(settings, content, case.partition, case.validation)


def divide(settings: Settings, content: str, out: Path, report: Path) -> dict[str, int]:
    """Divide, validate and write; ``content`` identifies the raw data. See partition_data."""
    dealt = deal(settings, tell=True)
    contexts, manifest = dealt.contexts, dealt.manifest
    samples, labels = arrays_of(dealt.data, dealt.brought)
    classes = dealt_classes(settings, dealt.plan)
    wanted = wanted_labels(settings, classes.unseen, dealt.data.classes)
    if words := fewer(settings, classes.unseen):
        print(words, file=sys.stderr)
        LOG.warning("%s", words)
    rules = validation.Rules(
        min_per_class=_least_per_class(settings, dealt.plan, dealt.source, manifest),
        seed=settings.seed,
        classes=classes.learned,
        contexts=_allowed(settings, contexts),
        wanted=wanted,
        unseen=classes.unseen,
    )
    validation.validate(manifest, lambda ids: _hashes(samples, ids), report, rules)
    raw = raw_of(settings, dealt)
    with rewriting(out) as new:
        _write_samples(raw, labels, manifest, wanted, new)
        _write_unused(raw, labels, _left(settings, dealt.source[0], manifest, contexts), new)
        _write_manifest(manifest, new / "manifest.parquet")
        write_json(new / "data.json", to_json(raw.info))
        write_json(new / "contexts.json", _of_whom(settings, contexts))
        write_json(new / "pin.json", {"content_id": content})
        write_skipped(dealt.skipped, new)
        read = ["data.json", samples_name(CLOUD), *raw.write(new)]
        write_sums(new, read, part="cloud")  # all that it reads
    return {str(tier): int(n) for tier, n in manifest.groupby("tier").size().items()}


def _allowed(settings: Settings, contexts: Contexts) -> dict[str, list[str]]:
    """The contexts that each owner's samples may have."""
    public = [contexts.names[at] for at in contexts.public]
    return {CLOUD: public, **{d.name: [contexts.names[contexts.of(d)]] for d in settings.devices}}


def _of_whom(settings: Settings, contexts: Contexts) -> dict[str, Any]:
    """All contexts, by name, and which the cloud's samples and each device's have."""
    allowed = _allowed(settings, contexts)
    public = allowed.pop(CLOUD)
    devices = {name: context for name, [context] in allowed.items()}
    facts = {"names": contexts.names, "public": public, "devices": devices}
    return {**facts, "synthetic": contexts.made}


def _least_per_class(
    settings: Settings, plan: Plan, sources: tuple[Source, Source], manifest: pd.DataFrame
) -> int:
    """Train samples that a device must have of each of its classes: 5 where it wants as many and
    its part of what the public sets left holds them; a Dirichlet draw may leave 1."""
    if plan.heterogeneity == "dirichlet":
        return 1
    need = needs(devices_of(settings, plan.contexts), plan, settings.seed)
    public = manifest[manifest["tier"] == CLOUD]
    stocks = []
    for source in sources:
        rows = public[(public["split"] == "test") == (source.split == "test")]
        taken = source.cells(plan.classes)[rows["sample_id"].map(lambda name: position(name)[1])]
        usable = source.cells(plan.classes)[source.usable]
        left = np.bincount(usable, minlength=len(need.parts))
        left -= np.bincount(taken, minlength=len(need.parts))
        stocks.append(left // np.maximum(need.parts, 1))
    trained = [
        of_part(int(stocks[0][cell]), int(stocks[1][cell]), wanted[:, cell])[0]
        for wanted in need.wanted
        for cell in np.flatnonzero(wanted[0])
    ]
    return max(1, min([5, *trained]))


def _hashes(samples: Arrays, ids: list[str]) -> list[str]:
    return content_hashes(samples[split][index] for split, index in map(position, ids)).tolist()


def _write_samples(
    raw: Raw,
    labels: Arrays,
    manifest: pd.DataFrame,
    wanted: Mapping[str, Sequence[int]],
    out: Path,
) -> None:
    """The samples of each owner, and the classes that it wants."""
    owned = manifest[manifest["tier"] != "edge"]
    for owner, rows in owned.groupby("owner", sort=True):
        of_split = {s: rows[rows["split"] == s] for s in SPLITS}
        tensors = as_tensors(
            raw.name,
            {s: raw.of(part, str(owner)) for s, part in of_split.items()},
            {s: _labels(labels, part) for s, part in of_split.items()},
        )
        tensors |= raw.beside(str(owner), of_split["train"])
        shared = manifest[manifest["shared_by"] == owner]
        if owner != CLOUD:  # one that shares nothing says so
            where = {sample: i for i, sample in enumerate(of_split["train"]["sample_id"])}
            for split in ("train", "val"):
                ids = shared.loc[shared["split"] == split, "sample_id"]
                places = [where[i] for i in ids]
                tensors[f"shared_{split}"] = torch.tensor(places, dtype=torch.int64)
        if classes := wanted.get(str(owner)):
            tensors[WANTED] = torch.tensor(classes, dtype=torch.int64)
        atomic_write(out / samples_name(str(owner)), encode(tensors))


def _left(
    settings: Settings, train: Source, manifest: pd.DataFrame, contexts: Contexts
) -> dict[int, pd.DataFrame]:
    """By context, rows of samples that nobody was given; none where devices live on their own,
    like which there are no others."""
    spec = settings.partition
    if not spec.samples_per_device:
        return {}
    left = unused(train, manifest, contexts, spec.ceiling_samples, settings.seed)
    return {at: rows_of(train, index, contexts.names[at]) for at, index in left.items()}


def _write_unused(raw: Raw, labels: Arrays, left: Mapping[int, pd.DataFrame], out: Path) -> None:
    """By context, samples that nobody was given."""
    for context, rows in left.items():
        if len(rows):
            tensors = as_tensors(
                raw.name, {UNUSED: raw.spare(rows)}, {UNUSED: _labels(labels, rows)}
            )
            atomic_write(out / unused_name(context), encode(tensors))


def _labels(labels: Arrays, rows: pd.DataFrame) -> Tensor:
    return torch.from_numpy(np.stack(taken(labels, rows)))


def _write_manifest(manifest: pd.DataFrame, path: Path) -> None:
    manifest.attrs["version"] = VERSION  # which parquet keeps
    atomic_write(path, manifest.to_parquet(index=False))
