"""What ACME is compared with in Table I: one search over backbones and headers together, as a
central server would do it that holds all data and knows no tiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from models.header.config import SEARCHED, HeaderConfig
from models.header.controller import Controller, Samples, reinforce_loss
from models.header.network import SharedWeights
from models.header.recipe import HeaderSearch
from models.header.search import (
    BASELINE_DECAY,
    ENTROPY_WEIGHT,
    PROPOSALS,
    EdgeSearch,
    TrainedHeader,
    children_loss,
    sampled_accuracy,
)
from models.header.space import Architecture
from models.header.split import Split
from models.progress import OnStep, ignore
from models.training import endless


@dataclass(frozen=True)
class Part:
    """One variant of the backbone: the features it gives, and what it leaves of the limit."""

    train: Split
    val: Split
    budget_parameters: int


@dataclass(frozen=True)
class Found:
    """The variant (an index) and the trained header that validation prefers."""

    part: int
    header: TrainedHeader


class JointSearch:
    """REINFORCE over the product of all variants and all headers: a categorical policy chooses the
    variant, the LSTM controller the header; one set of shared header weights serves every variant.

    The recipe is the edge's: as many steps as ACME spends on the headers of one variant.
    """

    def __init__(
        self,
        base: HeaderConfig,
        recipe: HeaderSearch,
        cls_head: tuple[Tensor, Tensor] | None,
        seed: int,
    ) -> None:
        self.recipe, self.seed = recipe, seed
        # prices headers and trains finalists; the budget is a variant's, hence checked here
        self.headers = EdgeSearch(base, recipe, 10**12, cls_head, seed)
        self.space = self.headers.space
        self.generator = torch.Generator().manual_seed(seed)

    def run(self, parts: Sequence[Part], on_step: OnStep = ignore) -> Found:
        """Search, train the finalists and linear headers beside them, choose.

        Raises:
            ValueError: no variant leaves room for even a linear header.
        """
        linear = self.headers.parameters(self.headers.base)
        usable = [i for i, part in enumerate(parts) if part.budget_parameters >= linear]
        if not usable:
            raise ValueError("no variant leaves room for a linear header")
        fitting = [parts[i] for i in usable]
        policy, controller, shared = self.alternate(fitting, on_step)
        finalists = self.finalists(policy, controller, shared, fitting)
        base = self.headers.base
        configs = [(v, replace(base, kind=SEARCHED, architecture=a)) for v, a in finalists]
        # a linear header for each of their variants; for all where no other header fits
        configs += [(v, base) for v in dict(finalists) or range(len(fitting))]
        trained = []
        for v, config in configs:
            part = fitting[v]
            header = self.headers.trained(config.kind, config, part.train, part.val, part.val)
            trained.append(Found(usable[v], header))
        return min(trained, key=lambda f: (-f.header.val_accuracy, f.header.val_loss))

    def alternate(
        self, parts: Sequence[Part], on_step: OnStep
    ) -> tuple[Tensor, Controller, SharedWeights]:
        """Shared weights and policies in turn, as :meth:`EdgeSearch.alternate` does."""
        recipe, shared = self.recipe, self.headers.shared_weights()
        policy = nn.Parameter(torch.zeros(len(parts)))
        controller = Controller(self.space, self.seed)
        of_shared = torch.optim.AdamW(shared.parameters(), lr=recipe.lr, weight_decay=0.01)
        of_policy = torch.optim.Adam([policy, *controller.parameters()], lr=recipe.controller_lr)
        source = endless(len(parts[0].train.labels), recipe.batch_size, self.generator)
        baseline: float | None = None
        for epoch in range(recipe.epochs):
            for _ in range(recipe.weight_steps):
                chosen = next(source)
                variants, samples = self.sample(policy, controller, recipe.children)
                of_shared.zero_grad()
                losses = [
                    children_loss(shared, [a], parts[v].train.at(chosen))
                    for v, a in zip(variants, samples.architectures, strict=True)
                ]
                torch.stack(losses).mean().backward()
                of_shared.step()
            for _ in range(recipe.controller_steps):
                variants, samples = self.sample(policy, controller, recipe.children)
                rewards = torch.tensor(
                    [
                        self.reward(shared, parts[v], a)
                        for v, a in zip(variants, samples.architectures, strict=True)
                    ]
                )
                baseline = rewards.mean().item() if baseline is None else baseline
                of_policy.zero_grad()
                reinforce_loss(samples, rewards, baseline, ENTROPY_WEIGHT).backward()
                of_policy.step()
                baseline = BASELINE_DECAY * baseline + (1 - BASELINE_DECAY) * rewards.mean().item()
            on_step(epoch + 1, recipe.epochs, {"reward": baseline or 0.0})
        return policy.detach(), controller, shared

    def sample(
        self, policy: Tensor, controller: Controller, count: int
    ) -> tuple[list[int], Samples]:
        """Variants and headers, with the log probabilities and the entropy of both choices."""
        logs = policy.log_softmax(0)
        variants = torch.multinomial(
            logs.detach().exp(), count, replacement=True, generator=self.generator
        )
        headers = controller.sample(count, self.generator)
        joint = replace(
            headers,
            log_probs=headers.log_probs + logs[variants],
            entropy=headers.entropy - (logs.exp() * logs).sum(),
        )
        return variants.tolist(), joint

    def finalists(
        self,
        policy: Tensor,
        controller: Controller,
        shared: SharedWeights,
        parts: Sequence[Part],
    ) -> list[tuple[int, Architecture]]:
        """The best of many proposals that fit, by accuracy with shared weights."""
        with torch.no_grad():
            variants, samples = self.sample(policy, controller, PROPOSALS)
        scored = {
            (v, a): self.reward(shared, parts[v], a)
            for v, a in dict.fromkeys(zip(variants, samples.architectures, strict=True))
            if self.fits(parts[v], a)
        }
        return sorted(scored, key=lambda p: -scored[p])[: self.recipe.finalists]

    def reward(self, shared: SharedWeights, part: Part, architecture: Architecture) -> float:
        """Validation accuracy with shared weights; 0 for a header that its variant has no room
        for."""
        if not self.fits(part, architecture):
            return 0.0
        return sampled_accuracy(shared, architecture, part.val)

    def fits(self, part: Part, architecture: Architecture) -> bool:
        """Whether a header is within what its variant leaves of the limit."""
        return self.headers.cost(architecture)[0] <= part.budget_parameters
