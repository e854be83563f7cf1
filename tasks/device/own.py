"""What a device has, and what it answers: each question is a function of the one that gives the
other, and reads nobody else's files."""

from __future__ import annotations

from dataclasses import dataclass, replace

from models.ranges import Answerable
from tasks.links.link import Message, Route
from tasks.links.records import Receipt, State
from tasks.run.store import Ref


@dataclass(frozen=True)
class Own:
    """A device: its data, the model that it received, their features under that model's backbone,
    its header after the last round and after all ``rounds``, the first as received; which classes
    its model is to answer; the gain in accuracy that it expects of its peers, whether it therefore
    says nothing, and, when all is done, the receipt."""

    edge: str
    device: str
    id: int
    samples: Ref | None = None  # None: it is only asked what it is
    model: Message | None = None
    features: Ref | None = None
    state: State | None = None
    answers: Answerable = "all"
    rounds: tuple[State, ...] = ()
    predicted: float | None = None
    silent: bool = False
    receipt: Receipt | None = None

    @property
    def as_received(self) -> Own:
        """As it was before the first round."""
        first = self.rounds[0]
        return replace(self, state=first, rounds=(first,), predicted=None, silent=False)

    def after(self, state: State) -> Own:
        """With a round more."""
        return replace(self, state=state, rounds=(*self.rounds, state))

    @property
    def data(self) -> Ref:
        """Its samples. Raises ValueError if it was given none."""
        if self.samples is None:
            raise ValueError(f"{self.device} has no samples")
        return self.samples

    @property
    def run(self) -> str:
        """What its messages belong to: see :class:`tasks.links.link.Route`."""
        return self.model.sha256 if self.model else ""

    def up(self, round: int = 0) -> Route:
        """The way to its edge."""
        return Route(self.device, self.edge, round, self.run)

    @property
    def adopted(self) -> tuple[Message, Ref, State]:
        """Model, features and state. Raises ValueError before a model was received."""
        if self.model is None or self.features is None or self.state is None:
            raise ValueError(f"{self.device} has received no model yet")
        return self.model, self.features, self.state


@dataclass(frozen=True)
class Answer:
    """What a device has after a question, and what it says."""

    own: Own
    messages: tuple[Message, ...]
