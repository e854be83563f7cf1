"""The LSTM controller that proposes headers and predicts their accuracy (Sec. III-C2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.header.space import Architecture, Space

HIDDEN = 100  # one layer of 100 units, Sec. IV-A
TEMPERATURE, TANH = 5.0, 1.1  # flatten the policy early on


@dataclass(frozen=True)
class Samples:
    """``architectures`` with, for each, the log probability of its decisions, the mean entropy of
    the policy along them, and the predicted accuracy, all ``(n,)``."""

    architectures: list[Architecture]
    log_probs: Tensor
    entropy: Tensor
    predicted: Tensor


class Controller(nn.Module):
    """A policy over the 4B decisions of a space, one after the other.

    The input of a step is the embedding of the decision before it. A linear layer and a sigmoid on
    the final hidden state predict the validation accuracy of the whole.
    """

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__()
        self.space = space
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.lstm = nn.LSTMCell(HIDDEN, HIDDEN)
            self.start = nn.Parameter(torch.zeros(1, HIDDEN))
            self.embed = nn.ModuleList(nn.Embedding(n, HIDDEN) for n in self._widest())
            self.decide = nn.ModuleList(nn.Linear(HIDDEN, n) for n in self._widest())
            self.accuracy = nn.Linear(HIDDEN, 1)
            for parameter in self.parameters():
                nn.init.uniform_(parameter, -0.1, 0.1)

    def _widest(self) -> tuple[int, int]:
        """Most choices of an input decision and of an operation decision."""
        return self.space.blocks + 1, len(self.space.operations)

    def sample(self, count: int, generator: torch.Generator) -> Samples:
        """Draw ``count`` headers from the policy."""
        return self._walk(count, None, generator)

    def score(self, architectures: Sequence[Architecture]) -> Samples:
        """What the policy makes of given headers: differentiable log probabilities."""
        decisions = torch.tensor([self.space.encode(a) for a in architectures])
        return self._walk(len(architectures), decisions, None)

    def _walk(self, count: int, given: Tensor | None, generator: torch.Generator | None) -> Samples:
        state = (torch.zeros(count, HIDDEN), torch.zeros(count, HIDDEN))
        x = self.start.expand(count, -1)
        taken, log_probs, entropies = [], [], []
        for step, choices in enumerate(self.space.choices()):
            kind = 0 if step % 4 < 2 else 1  # an input or an operation
            state = self.lstm(x, state)
            scores = TANH * torch.tanh(self.decide[kind](state[0])[:, :choices] / TEMPERATURE)
            policy = scores.log_softmax(1)
            if given is None:
                action = torch.multinomial(policy.detach().exp(), 1, generator=generator)[:, 0]
            else:
                action = given[:, step]
            taken.append(action)
            log_probs.append(policy.gather(1, action[:, None])[:, 0])
            entropies.append(-(policy.exp() * policy).sum(1))
            x = self.embed[kind](action)
        state = self.lstm(x, state)
        return Samples(
            architectures=[self.space.decode(row) for row in torch.stack(taken, 1).tolist()],
            log_probs=torch.stack(log_probs).sum(0),
            entropy=torch.stack(entropies).mean(0),
            predicted=torch.sigmoid(self.accuracy(state[0]))[:, 0],
        )


def reinforce_loss(
    samples: Samples, rewards: Tensor, baseline: float, entropy_weight: float
) -> Tensor:
    """REINFORCE with a baseline: its gradient is minus that of the expected reward; plus a small
    entropy term, plus the squared error of the predicted accuracy."""
    advantage = rewards - baseline
    policy = -(samples.log_probs * advantage).mean()
    prediction = (samples.predicted - rewards).pow(2).mean()
    return policy - entropy_weight * samples.entropy.mean() + prediction
