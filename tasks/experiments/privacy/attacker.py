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
        usual: by context the mean image of each class ``(classes, pixels)``.
        from_tokens, from_coordinates: to pixels.
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
        basis, labels = received.basis, next(iter(public.values())).data.labels
        tokens = {c: standardised(view.data, scale) for c, view in public.items()}
        places = {c: basis.coordinates(view.data) for c, view in public.items()}
        pixels = torch.cat([view.pixels for view in public.values()])
        every = torch.cat(list(tokens.values()))
        return cls(
            header,
            received,
            scale,
            {c: Reference.of(values, labels) for c, values in tokens.items()},
            {c: Reference.of(values, labels) for c, values in places.items()},
            {c: class_means(view.pixels, labels) for c, view in public.items()},
            fit_decoder(every, pixels, seed, decoding),
            fit_decoder(torch.cat(list(places.values())), pixels, seed, decoding),
        )

    def standardised(self, data: Split) -> Tensor:
        """[CLS] as a sketch has it ``(n, dim)``."""
        return standardised(data, self.scale)

    def placed(self, data: Split) -> Tensor:
        """In the basis ``(n, rank)``."""
        assert self.received.basis is not None
        return self.received.basis.coordinates(data)


def standardised(data: Split, scale: tuple[Tensor, Tensor]) -> Tensor:
    """[CLS] of the last layer in public standard deviations ``(n, dim)``."""
    return (data.features[:, 0, 0] - scale[0]) / scale[1]
