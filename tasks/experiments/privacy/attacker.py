"""What an attacker has: what all devices received, and public data as their contexts see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.header.split import Split
from models.privacy.membership import Reference
from models.privacy.rebuilding import LOOP, fit_decoder
from models.refinement.basis import class_means
from models.refinement.exchange import Received
from models.training import Loop
from tasks.experiments.privacy.people import Seen


@dataclass(frozen=True)
class Attacker:
    """Whoever reads what devices send and knows the model that all received. It also knows how
    every context looks, which flatters it.

    Attributes:
        header: as all received it.
        received: the same, as exchanges need it.
        scale: mean and deviation of public [CLS], by which sketches are standardised.
        tokens, coordinates: by context where samples of each class lie, of a sketch and in the
            basis of statistics.
        usual: by context the mean look of each class ``(classes, parts)``.
        from_tokens, from_coordinates: to looks.
    """

    header: nn.Module
    received: Received
    scale: tuple[Tensor, Tensor]
    tokens: Mapping[str, Reference]
    coordinates: Mapping[str, Reference]
    usual: Mapping[str, Tensor]
    from_tokens: nn.Module
    from_coordinates: nn.Module

    @classmethod
    def of(
        cls,
        header: nn.Module,
        received: Received,
        scale: tuple[Tensor, Tensor],
        public: Mapping[str, Seen],
        seed: int,
        decoding: Loop = LOOP,
    ) -> Attacker:
        """Who has these public data, and trains decoders on them for so long."""
        assert received.basis is not None
        labels = {c: seen.data.labels for c, seen in public.items()}
        tokens = {c: standardised(seen.data, scale) for c, seen in public.items()}
        places = {c: received.basis.coordinates(seen.data) for c, seen in public.items()}
        looks = torch.cat([seen.looks for seen in public.values()])
        return cls(
            header,
            received,
            scale,
            {c: Reference.of(values, labels[c]) for c, values in tokens.items()},
            {c: Reference.of(values, labels[c]) for c, values in places.items()},
            {c: class_means(seen.looks, labels[c]) for c, seen in public.items()},
            fit_decoder(torch.cat(list(tokens.values())), looks, seed, decoding),
            fit_decoder(torch.cat(list(places.values())), looks, seed, decoding),
        )

    def standardised(self, data: Split) -> Tensor:
        """[CLS] as a sketch has it ``(n, dim)``."""
        return standardised(data, self.scale)

    def placed(self, data: Split) -> Tensor:
        """In the basis ``(n, rank)``."""
        assert self.received.basis is not None
        return self.received.basis.coordinates(data)


def scale_of(public: Split) -> tuple[Tensor, Tensor]:
    """Mean and deviation of [CLS] of the last layer ``(dim,)``."""
    tokens = public.features[:, 0, 0]
    return tokens.mean(0), tokens.std(0) + 1e-6


def standardised(data: Split, scale: tuple[Tensor, Tensor]) -> Tensor:
    """[CLS] of the last layer in public standard deviations ``(n, dim)``."""
    return (data.features[:, 0, 0] - scale[0]) / scale[1]
