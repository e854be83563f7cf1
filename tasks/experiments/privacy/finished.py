"""What messages of a run that is done reveal, of images or of texts: its own devices, backbones and
headers are attacked, and its sketches compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.header.build import neurons
from models.refinement.basis import fit_basis, tokens_read
from models.refinement.exchange import Received
from models.refinement.mixers import mixing_weights
from models.refinement.recipe import Likeness
from models.refinement.recovery import Recovery, recovery
from models.refinement.sketches import SKETCHES
from tasks.data.modality import TextInfo
from tasks.data.samples import World, read_split, read_world, with_spare
from tasks.experiments.privacy.attacker import Attacker, scale_of
from tasks.experiments.privacy.measures import Found
from tasks.experiments.privacy.people import View, devices, pixels, shadows, unused, words_of
from tasks.experiments.privacy.stand import SHADOWS, Stand
from tasks.experiments.privacy.table import attacked
from tasks.report.outputs import read_backbone, read_rounds
from tasks.run.modules import load_backbone, load_header
from tasks.settings.case import Case
from tasks.settings.fleet import Cluster
from tasks.settings.params import Settings, load

CLOUD = "cloud"
KNOWN = 2 / 3
"""Of what nobody was given of a context, what an attacker has; the others are nobody's samples."""


@dataclass(frozen=True)
class Finished:
    """What came of a run's messages.

    Attributes:
        many, few: by message, of devices with all their samples, and with few a class.
        recovered: by kind of sketch the bytes of its numbers, and what each of so many draws
            recovers; nothing where all devices are of one context.
    """

    many: dict[str, Found]
    few: dict[str, Found]
    recovered: dict[str, tuple[int, list[Recovery]]]

    @classmethod
    def of(cls, case: Case, seeds: int) -> Finished:
        """Of a case, whose sketches are drawn so often.

        Raises:
            ArtifactError: the case has no finished run.
        """
        settings = load(case.params)
        names = [device.name for device in settings.devices]
        world = with_spare(read_world(case.partition, names), case.partition)
        stands = [_stand(case, settings, cluster, world) for cluster in settings.fleet]
        many, few = attacked(stands)
        clusters = [_standardised(stand) for stand in stands]
        found = {name: _recovered(name, clusters, settings, seeds) for name in SKETCHES}
        return cls(many, few, found)


def _stand(case: Case, settings: Settings, cluster: Cluster, world: World) -> Stand:
    """An edge's devices. What public data look like in a context is told by samples that nobody was
    given: where contexts are no synthetic ones, the cloud has none."""
    names = [device.name for device in cluster.devices]
    [received, *_] = [s for s in read_rounds(case.customize) if s.device in names and not s.round]
    header, config = load_header(received.header)
    spare, cloud = unused(world, names), read_split(world.cloud, "train", world.info)
    shares = {context: _shares(of, settings.seed) for context, of in spare.items()}
    known = {context: share[0] for context, share in shares.items()} | {CLOUD: cloud}
    inputs = torch.cat([samples[0] for samples in known.values()])
    look = words_of(inputs) if isinstance(world.info, TextInfo) else pixels
    view = View(load_backbone(read_backbone(case.customize, cluster.edge)), look, config)
    public = {context: view.of(of) for context, of in known.items()}
    nobodys = {context: view.of(share[1]) for context, share in shares.items()}
    shown = public[CLOUD].data
    state = {name: p.detach().clone() for name, p in header.named_parameters()}
    basis = fit_basis(shown, tokens_read(config), settings.refinement.rank)
    told = Received(state, sum(neurons(header).values()), config.classes, basis)
    attacker = Attacker.of(header.eval(), told, scale_of(shown), public, settings.seed)
    raw = devices(world, view, dict.fromkeys(names, cluster.edge), nobodys)
    imagined = shadows(public, SHADOWS, raw, settings.seed)
    return Stand(settings, raw, imagined, attacker)


Samples = tuple[Tensor, Tensor]


def _shares(samples: Samples, seed: int) -> tuple[Samples, Samples]:
    """What an attacker knows of samples and labels, and what it does not."""
    inputs, labels = samples
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    ends = round(KNOWN * len(labels))
    known, others = ((inputs[at], labels[at]) for at in (order[:ends], order[ends:]))
    return known, others


def _standardised(stand: Stand) -> list[tuple[str, Tensor]]:
    """Every device's context and [CLS] of its train samples, by public ones."""
    return [(raw.context, stand.attacker.standardised(raw.train.data)) for raw in stand.real]


def _recovered(
    name: str, clusters: list[list[tuple[str, Tensor]]], settings: Settings, seeds: int
) -> tuple[int, list[Recovery]]:
    recipe, found, size = settings.refinement, [], 0
    for seed in range(seeds):
        weighed = []
        for cluster in clusters:
            points, contexts = list[np.ndarray](), []
            for number, (context, values) in enumerate(cluster):
                stream = torch.Generator().manual_seed(1000 * seed + number)
                made = SKETCHES[name].make(values, recipe.sketch_samples, stream)
                if made is not None:
                    points.append(made.half().float().numpy())
                    contexts.append(context)
                    size = 2 * made.numel()
            weighed.append((mixing_weights(recipe.part(Likeness), points)[1], contexts))
        share = recovery(weighed)
        found += [] if share is None else [share]
    return size, found
