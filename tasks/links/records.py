"""The records that tasks exchange: small, frozen, JSON-able; tensors lie in files they refer to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field

from tasks.links.link import Message
from tasks.run.store import Ref


@dataclass(frozen=True)
class Variant:
    """One scored point of the width x depth grid, with its reference header.

    ``parameters`` counts the backbone alone; ``zeta`` is Eq. 3's approximation of it. Loss and
    accuracy are on the public validation split; ``refit_loss`` and ``refit_accuracy``, where the
    settings ask for them, with a linear header fitted to the variant.
    """

    width: float
    depth: int
    val_loss: float
    val_accuracy: float
    parameters: int
    zeta: float
    flops: int
    refit_loss: float | None = None
    refit_accuracy: float | None = None


@dataclass(frozen=True)
class Trained:
    """A model, the steps that it was trained for, and after how many of them it was kept."""

    model: Ref
    steps: int
    kept: int


@dataclass(frozen=True)
class CnnScore:
    """How a plain CNN of so many parameters does on the public validation split, of how many
    ``samples``; a ``warning`` where it is shown to do better than the reference."""

    parameters: int
    accuracy: float
    samples: int
    warning: str | None


@dataclass(frozen=True)
class ReferenceScore:
    """How the reference model does on the public validation split, of how many ``samples``, beside
    what always answering their most frequent class reaches (``chance``); a ``warning`` where it
    is not shown to do better. ``made`` says how it was made, which an older version did not
    write; ``cnn``, how the plain CNN beside it does, where there is one; ``no_layer_accuracy``, how
    well a linear header does on the mean of what comes before the first layer, where headers are
    refitted."""

    accuracy: float
    samples: int
    chance: float
    warning: str | None
    made: str | None = None
    cnn: CnnScore | None = None
    no_layer_accuracy: float | None = None


@dataclass(frozen=True)
class Match:
    """The variant that a cluster gets, and what it was chosen among (indices into the grid).

    ``limit`` is the cluster's smallest storage limit in parameters; ``modelled_energy_joule`` is
    Eq. 10's largest over the devices, one value a variant. Of texts, ``vocabulary`` is the most
    words that one of the devices keeps, and ``parameters`` what variants weigh with so many.
    """

    edge: str
    width: float
    depth: int
    limit: int
    modelled_energy_joule: tuple[float, ...]
    chosen: int
    fitting: tuple[int, ...]
    front: tuple[int, ...]
    search_set: tuple[int, ...]
    vocabulary: int | None = None
    parameters: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Header:
    """A header that was trained to a comparison, scored on the edge's shared validation samples.

    ``name`` tells the headers of a search apart; ``kind`` is a fixed header's name or ``searched``.
    """

    name: str
    kind: str
    config: dict[str, Any]
    state: Ref
    parameters: int
    flops: int
    val_loss: float
    val_accuracy: float


@dataclass(frozen=True)
class Search:
    """What an edge's search returned: ``headers[winner]`` goes down; ``sampled`` are the rows of
    the headers that were only scored with shared weights."""

    edge: str
    winner: int
    headers: tuple[Header, ...]
    sampled: tuple[dict[str, Any], ...]
    search_space: int
    budget_parameters: int


@dataclass(frozen=True)
class Coarse:
    """What an edge sends down: its cluster's backbone and the winner's header."""

    edge: str
    backbone: Ref
    header: Ref


@dataclass(frozen=True)
class Mixing:
    """Who listens to whom in a cluster: matrices over ``devices`` in order (Eq. 19-20)."""

    edge: str
    devices: tuple[str, ...]
    distances: tuple[tuple[float, ...], ...]
    weights: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Sent:
    """What devices sent in a round, what an edge kept of peers that do not take part, and who chose
    to say nothing."""

    round: int
    fresh: tuple[Message, ...]
    kept: tuple[Message, ...] = ()
    silent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mixed:
    """One round's outcome at the edge: a message a device present, a reason a device left out, and
    who listened to whom."""

    messages: tuple[Message, ...]
    left_out: dict[str, str]
    mixing: Mixing


Way = Literal["received", "peers", "alone", "pruned"]


@dataclass(frozen=True)
class State:
    """A device's header after a round: weights and masks at full shape. ``parameters`` counts the
    header as it would ship, without removed neurons; ``neurons`` those alive of
    ``neurons_received``. Scores are on the device's val split.

    ``way`` is how it came about: as received, in a round with peers, by the same steps alone, or by
    discarding neurons in the end; one state of a device ``ships``.

    Within a round a device also has its ``importance`` set (after training), the header as it was
    ``pruned``, before tuning, and what its exchange ``kept`` from earlier rounds."""

    device: str
    round: int
    header: Ref
    parameters: int
    neurons: int
    neurons_received: int
    val_loss: float
    val_accuracy: float
    importance: Ref | None = None
    pruned: Ref | None = None
    kept: Ref | None = None
    way: Way = "received"
    ships: bool = False


@dataclass(frozen=True)
class Receipt:
    """What a device sent messages for, by its own judgement: ``samples`` of its val split and, of
    classes that it wants and has no val samples of, ``virtual`` ones of its peers.

    Attributes:
        ways: the accuracy on these of each way to a model, its last round; and of what ships.
        gained: by round, what the peers' messages gained over the same steps alone, in accuracy.
        predicted: that gain, as the device expected it before it sent anything; None where nothing
            is exchanged.
        silent: it sent nothing, since that would not pay.
        withheld: of how many of its classes it said nothing, having too few samples.
    """

    device: str
    samples: int
    virtual: int
    ships: Way
    round: int
    ways: dict[str, float]
    gained: dict[int, float]
    predicted: float | None = None
    silent: bool = False
    withheld: int = 0


@dataclass(frozen=True)
class DataFacts:
    """What a device remembers of the data that its model was trained on (train and val splits):
    the hash of its samples' file and the shares of its labels and of how its samples look (of
    images, bins of brightness), smoothed.
    It stays on the device."""

    device: str
    samples_sha256: str
    labels: tuple[float, ...]
    looks: Annotated[tuple[float, ...], Field(validation_alias=AliasChoices("looks", "brightness"))]
    """Older files call it brightness."""
