"""The edge's search for a header: Eq. 15 and REINFORCE in turn, then a trained comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbone.training import scores
from models.header.build import build_header, header_flops, start_from, state_of
from models.header.config import SEARCHED, HeaderConfig
from models.header.controller import Controller, Samples, reinforce_loss
from models.header.kinds import seen_by
from models.header.network import SharedWeights
from models.header.recipe import HeaderSearch
from models.header.space import Architecture, Space
from models.header.split import Split
from models.matching.selection import NothingFitsError
from models.progress import OnStep, ignore
from models.training import Loop, endless, train

BASELINE_DECAY = 0.9
ENTROPY_WEIGHT = 1e-3
PROPOSALS = 64  # headers drawn from the trained controller for the final choice
RESCORED = 16  # of them, the best predicted are scored with shared weights


@dataclass(frozen=True)
class TrainedHeader:
    """A header trained to the comparison, scored on the shared validation split and on it and the
    public support together."""

    name: str
    config: HeaderConfig
    state: dict[str, Tensor]
    parameters: int
    flops: int
    val_loss: float
    val_accuracy: float
    joint_loss: float
    joint_accuracy: float


@dataclass(frozen=True)
class SampledHeader:
    """A header that was only scored with shared weights during the search."""

    epoch: int
    architecture: Architecture
    reward: float
    predicted: float
    parameters: int
    flops: int


@dataclass(frozen=True)
class SearchResult:
    """``trained[winner]`` is the outcome; the rest is what it was chosen among."""

    winner: int
    trained: list[TrainedHeader]
    sampled: list[SampledHeader]


def train_header(header: nn.Module, data: Split, loop: Loop, generator: torch.Generator) -> None:
    """Train in place on cached features."""

    def losses(chosen: Tensor) -> Iterator[Tensor]:
        batch = data.at(chosen)
        yield F.cross_entropy(header(*batch.inputs), batch.labels)

    train(header, losses, len(data.labels), loop, generator)


@torch.no_grad()
def evaluate(header: nn.Module, data: Split) -> tuple[float, float]:
    """Mean cross-entropy and accuracy, in chunks: maps of large backbones are large."""
    return scores(torch.cat([header(*chunk.inputs) for chunk in data.chunks(1024)]), data.labels)


def children_loss(
    shared: SharedWeights, architectures: Sequence[Architecture], batch: Split
) -> Tensor:
    """The mean loss of M sampled children, whose gradient is Eq. 15."""
    losses = [
        F.cross_entropy(shared(batch.features, a, batch.mask), batch.labels) for a in architectures
    ]
    return torch.stack(losses).mean()


@torch.no_grad()
def sampled_accuracy(shared: SharedWeights, architecture: Architecture, data: Split) -> float:
    """The accuracy of one header with shared weights."""
    return scores(shared(data.features, architecture, data.mask), data.labels)[1]


class EdgeSearch:
    """One edge's search. ``base`` holds everything of a header but its kind and architecture;
    ``cls_head`` are weight and bias of the reference header."""

    def __init__(
        self,
        base: HeaderConfig,
        recipe: HeaderSearch,
        budget_parameters: int,
        cls_head: tuple[Tensor, Tensor] | None,
        seed: int,
    ) -> None:
        self.base, self.recipe = base, recipe
        self.space = Space(recipe.blocks, recipe.operations)
        self.budget, self.cls_head, self.seed = budget_parameters, cls_head, seed
        self.generator = torch.Generator().manual_seed(seed)
        self._costs: dict[Architecture, tuple[int, int]] = {}

    def run(
        self, train: Split, val: Split, support: Split | None, on_step: OnStep = ignore
    ) -> SearchResult:
        """Search, then train the finalists and the fixed headers with the same budget and choose.

        Args:
            train: what weights are trained on.
            val: the shared validation split. The winner is not worse on it than the linear header.
            support: public validation samples that steady the reward and the choice, since the
                shared split is small, and stand for it where it is empty.

        Raises:
            NothingFitsError: not even the linear header is within the budget.
            ValueError: there is nothing to train on, or nothing to validate on.
        """
        if not len(val.labels) and support is not None:
            val, support = support, None
        if not len(train.labels) or not len(val.labels):
            raise ValueError("a header search needs train and validation samples")
        joint = val.join(support)
        found, sampled = self.searched(train, joint, on_step)
        configs = {name: replace(self.base, kind=name) for name in ("linear", *self.recipe.fixed)}
        for i, architecture in enumerate(found):
            name = f"{SEARCHED}-{i + 1}"
            configs[name] = replace(self.base, kind=SEARCHED, architecture=architecture)
        epochs = self.recipe.epochs if found else 0
        total, trained = epochs + len(configs), list[TrainedHeader]()
        for i, (name, config) in enumerate(configs.items()):
            if self.parameters(config) <= self.budget:
                trained.append(self.trained(name, config, train, val, joint))
            on_step(epochs + i + 1, total, {})
        return SearchResult(choose(trained, self.budget), trained, sampled)

    def searched(
        self, train: Split, joint: Split, on_step: OnStep
    ) -> tuple[list[Architecture], list[SampledHeader]]:
        """The finalists, and all that was sampled on the way; neither where none is asked for."""
        if not self.recipe.finalists:
            return [], []
        controller, shared, sampled = self.alternate(train, joint, on_step)
        return self.finalists(controller, shared, joint), sampled

    def alternate(
        self, train: Split, joint: Split, on_step: OnStep
    ) -> tuple[Controller, SharedWeights, list[SampledHeader]]:
        """Shared weights by Eq. 15 and the controller by REINFORCE, in turn."""
        recipe = self.recipe
        controller, shared = Controller(self.space, self.seed), self.shared_weights()
        of_shared = torch.optim.AdamW(shared.parameters(), lr=recipe.lr, weight_decay=0.01)
        of_controller = torch.optim.Adam(controller.parameters(), lr=recipe.controller_lr)
        source = endless(len(train.labels), recipe.batch_size, self.generator)
        sampled: list[SampledHeader] = []
        baseline: float | None = None
        for epoch in range(recipe.epochs):
            for _ in range(recipe.weight_steps):
                chosen = next(source)
                with torch.no_grad():
                    children = controller.sample(recipe.children, self.generator).architectures
                of_shared.zero_grad()
                children_loss(shared, children, train.at(chosen)).backward()
                of_shared.step()
            for _ in range(recipe.controller_steps):
                samples = controller.sample(recipe.children, self.generator)
                rewards = torch.tensor(
                    [self.reward(shared, a, joint) for a in samples.architectures]
                )
                mean = rewards.mean().item()
                baseline = mean if baseline is None else baseline
                of_controller.zero_grad()
                reinforce_loss(samples, rewards, baseline, ENTROPY_WEIGHT).backward()
                of_controller.step()
                baseline = BASELINE_DECAY * baseline + (1 - BASELINE_DECAY) * mean
                sampled += self.rows(epoch, samples, rewards)
            on_step(epoch + 1, recipe.epochs, {"reward": baseline or 0.0})
        return controller, shared, sampled

    def finalists(
        self, controller: Controller, shared: SharedWeights, joint: Split
    ) -> list[Architecture]:
        """The best headers that the controller proposes, by its prediction and then by their
        accuracy with shared weights; those over the budget are no candidates."""
        with torch.no_grad():
            samples = controller.sample(PROPOSALS, self.generator)
        predicted = dict(zip(samples.architectures, samples.predicted.tolist(), strict=True))
        within = [a for a in predicted if self.cost(a)[0] <= self.budget]
        best = sorted(within, key=lambda a: -predicted[a])[:RESCORED]
        return sorted(best, key=lambda a: -self.reward(shared, a, joint))[: self.recipe.finalists]

    def trained(
        self, name: str, config: HeaderConfig, train: Split, val: Split, joint: Split
    ) -> TrainedHeader:
        """A header trained from scratch with the budget that all get."""
        header = build_header(config, self.seed, self.cls_head)
        recipe, stream = self.recipe, torch.Generator().manual_seed(self.seed)
        loop = Loop(recipe.retrain_steps, recipe.batch_size, recipe.lr)
        train, val, joint = (seen_by(config, data) for data in (train, val, joint))
        train_header(header, train, loop, stream)
        return TrainedHeader(
            name,
            config,
            state_of(header),
            self.parameters(config),
            header_flops(header, config),
            *evaluate(header, val),
            *evaluate(header, joint),
        )

    def reward(self, shared: SharedWeights, architecture: Architecture, joint: Split) -> float:
        """Validation accuracy with shared weights; 0 for a header over the budget."""
        if self.cost(architecture)[0] > self.budget:
            return 0.0
        return sampled_accuracy(shared, architecture, joint)

    def shared_weights(self) -> SharedWeights:
        """The super-network, its linear part on [CLS] starting from the reference header."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            shared = SharedWeights(self.space.blocks, self.space.operations, self.base)
        start_from(shared, self.cls_head)
        return shared

    def cost(self, architecture: Architecture) -> tuple[int, int]:
        """Parameters and floating-point operations of a searched header."""
        if architecture not in self._costs:
            config = replace(self.base, kind=SEARCHED, architecture=architecture)
            header = build_header(config)
            parameters = sum(p.numel() for p in header.parameters())
            self._costs[architecture] = (parameters, header_flops(header, config))
        return self._costs[architecture]

    @staticmethod
    def parameters(config: HeaderConfig) -> int:
        """The true number of parameters of a header."""
        return sum(p.numel() for p in build_header(config).parameters())

    def rows(self, epoch: int, samples: Samples, rewards: Tensor) -> list[SampledHeader]:
        """What was sampled in one controller step."""
        each = zip(samples.architectures, rewards.tolist(), samples.predicted.tolist(), strict=True)
        return [SampledHeader(epoch, a, r, p, *self.cost(a)) for a, r, p in each]


def choose(trained: Sequence[TrainedHeader], budget: int) -> int:
    """Index of the best header on joint validation data among those that are no worse than the
    linear one on the shared validation split; ties: lower loss, then fewer parameters.

    Raises:
        NothingFitsError: nothing was within the budget.
    """
    linear = next((t for t in trained if t.config.kind == "linear"), None)
    if linear is None:
        raise NothingFitsError(
            f"no header fits: {max(budget, 0):,} parameters are left, fewer than the linear header "
            "has. Raise matching.header_budget or the cluster's smallest storage_limit."
        )
    eligible = [i for i, t in enumerate(trained) if t.val_accuracy >= linear.val_accuracy]
    return min(
        eligible,
        key=lambda i: (-trained[i].joint_accuracy, trained[i].joint_loss, trained[i].parameters),
    )
