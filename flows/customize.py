"""Phase 2 (Sec. III-C and III-D): a header per edge, refined by every device with its peers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from prefect import flow
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from flows import on_device
from flows.hooks import STAGE_HOOKS
from flows.job import Job
from flows.on_device import LocalCarrier
from models.refinement.exchanges import EXCHANGES
from tasks.cloud import backbone as cloud
from tasks.cloud.public import Public
from tasks.device.own import Own
from tasks.edge import header
from tasks.edge.kept import kinds
from tasks.edge.mixing import compare, mix
from tasks.links.asking import Answers, Key, Link
from tasks.links.link import Message, leave_out
from tasks.links.records import Coarse, Mixing, Search, Sent
from tasks.report.outputs import Customized, publish_customization, read_cut
from tasks.run.log import LOG
from tasks.run.step import run_step, run_steps
from tasks.run.store import Ref
from tasks.settings.case import Case
from tasks.settings.fleet import Cluster
from tasks.settings.params import HeaderSearch, JointTraining, Likeness, Refinement, Settings


@flow(
    name="customize",
    flow_run_name="customize, seed {settings.seed}",
    validate_parameters=False,
    **STAGE_HOOKS,
)
def customize(case: Case, settings: Settings) -> None:
    """Every cluster in turn; the devices of a cluster together."""
    job, results = Job.of(case, settings), list[Customized]()
    shown = create_progress_artifact(
        0.0, key=case.key("customize"), description="Clusters customized"
    )
    assert isinstance(shown, UUID)  # a coroutine only in async flows
    for cluster in settings.fleet:
        results.append(customize_cluster(job, cluster, read_cut(case.backbone, cluster.edge)))
        update_progress_artifact(shown, 100 * len(results) / len(settings.fleet))
    calls = [(*owned, job.world.info) for owned in job.world.devices.items()]
    facts = run_steps(on_device.describe_data, calls)
    keep = kinds(settings.refinement.exchange)
    publish_customization(case.customize, results, facts, keep)


def customize_cluster(job: Job, cluster: Cluster, cut: Ref) -> Customized:
    """Coarse header at the edge from the cluster's backbone, then T rounds between the edge and its
    devices."""
    carrier = LocalCarrier(job, owned(job, cluster))
    link = Link(cluster.edge, carrier, header.fits(job.world.info))
    found = search_at_edge(job, cluster, cut, link)
    mixing = refine_on_devices(job, found, link)
    rounds = tuple(tuple(states) for states in carrier.rounds.values())
    receipts = tuple(own.receipt for own in carrier.owns.values() if own.receipt)
    messages = (*found.messages, *link.sent)
    return Customized(found.search, found.coarse, mixing, rounds, messages, receipts)


def owned(job: Job, cluster: Cluster) -> list[Own]:
    """What the devices of a cluster have before anything is sent down."""
    samples, answers = job.world.samples, job.settings.refinement.answers
    return [
        Own(cluster.edge, d.name, d.id, samples[d.name], answers=answers) for d in cluster.devices
    ]


@dataclass(frozen=True)
class Found:
    """What an edge's search came to, for which devices, the features of its shared set, and the
    cloud's messages: the backbone, and public features if it sent some."""

    search: Search
    coarse: Coarse
    devices: tuple[str, ...]
    shared: Ref
    public: Message | None
    messages: tuple[Message, ...]


def search_at_edge(job: Job, cluster: Cluster, cut: Ref, link: Link) -> Found:
    """What the edge needs comes in from both sides; then it searches."""
    name, recipe, seed = cluster.edge, job.settings.edge, job.settings.seed
    info, machine = job.world.info, job.machine
    devices = tuple(d.name for d in cluster.devices)
    backbone = run_step(cloud.send_backbone, name, cut)
    public = None
    if recipe.public_features:
        public = run_step(
            cloud.send_public_features,
            name,
            cut,
            Public(job.world.cloud, info),
            recipe.public_features,
            machine,
        )
    quorum = job.settings.refinement.quorum
    consented = link.ask_all(devices, "share", {}, Key(), quorum=quorum).of(header.SHARED)
    own = header.Consented(tuple(consented), info)
    shared = run_step(header.embed_shared, name, backbone, own, machine)
    words = max((job.world.words[d] for d in devices if d in job.world.words), default=None)
    material = header.Material(name, backbone, public, shared, cluster.storage_limit, words)
    search = run_step(header.search_header, material, recipe.part(HeaderSearch), seed, machine)
    together = recipe.part(JointTraining)
    coarse = run_step(header.settle, search, backbone, own, together, seed, machine)
    messages = (*([public] if public else []), backbone)
    chosen = search.headers[search.winner]
    LOG.info("%s: header %s, the best of %d", name, chosen.name, len(search.headers))
    return Found(search, coarse, devices, shared, public, messages)


def refine_on_devices(job: Job, found: Found, link: Link) -> Mixing:
    """The model goes down to every device; then they refine it with their edge. Who listened to
    whom."""
    recipe = job.settings.refinement
    basis = None
    if EXCHANGES[recipe.exchange].beside is not None:
        basis = run_step(header.find_basis, found.coarse, found.public, recipe.rank)
    sent = run_step(
        header.send_model, found.coarse, found.devices, found.shared, found.public, basis
    )
    models = {message.receiver: message for message in sent}
    model = models[found.devices[0]]
    key = Key(model.sha256)
    adopted = link.ask_all(found.devices, "adopt", models, key, quorum=recipe.quorum)
    devices = tuple(adopted.messages)
    sketches = sketched(recipe, link, devices, key)
    mixing = run_step(compare, link.edge, devices, sketches, recipe.part(Likeness))
    return refine(recipe, link, Circle(devices, mixing, model, adopted))


def sketched(recipe: Refinement, link: Link, devices: Sequence[str], key: Key) -> list[Message]:
    """The devices' sketches, where what they exchange is mixed and does not tell who is alike."""
    exchange = EXCHANGES[recipe.exchange]
    if exchange.up is None or exchange.weigh is not None:
        return []
    limits = (recipe.deadline_s, recipe.quorum)
    return link.ask_all(devices, "sketch", {}, key, *limits).of("feature_sketch")


@dataclass(frozen=True)
class Circle:
    """Who takes part in the rounds, who listens to whom, the model that all received, how they did
    with it, by round what peers sent earlier who do not take part this time, and whether all rounds
    are run, whoever gains, and nothing is shipped."""

    devices: Sequence[str]
    mixing: Mixing
    model: Message
    adopted: Answers
    kept: Mapping[int, Sequence[Message]] = field(default_factory=dict)
    all_rounds: bool = False


def refine(recipe: Refinement, link: Link, circle: Circle) -> Mixing:
    """Alg. 2: T rounds, or until no device gains on its validation split; then each chooses what it
    ships. A device that is left out of a round is named. Returns who listened to whom."""
    before, mixing = scores_of(circle.adopted), circle.mixing
    for t in range(1, recipe.rounds + 1):
        key, limits = Key(circle.model.sha256, t), (recipe.deadline_s, recipe.quorum)
        trained, bodies = link.ask_all(circle.devices, "train", {}, key, *limits), {}
        if EXCHANGES[recipe.exchange].says_something(t):
            fresh = tuple(m for messages in trained.messages.values() for m in messages)
            silent = tuple(d for d, messages in trained.messages.items() if not messages)
            sent = Sent(t, fresh, tuple(circle.kept.get(t, ())), silent)
            mixed = run_step(mix, sent, mixing, recipe.exchange, circle.model, recipe.quorum)
            for device, reason in mixed.left_out.items():
                if device not in trained.failed:
                    leave_out(link.edge, device, reason, t)
            bodies = {message.receiver: message for message in mixed.messages}
            mixing = mixed.mixing
        present = [device for device in circle.devices if device in trained.messages]
        pruned = link.ask_all(present, "prune", bodies, key, *limits)
        after = {**before, **scores_of(pruned)}
        LOG.info(
            "%s, round %d: validation accuracy %s",
            link.edge,
            t,
            ", ".join(f"{device} {after[device][0]:.3f}" for device in present),
        )
        gains = any(after[device] > before[device] for device in before)
        if not gains and not circle.all_rounds:
            break
        before = after
    if not circle.all_rounds:  # the same steps alone, and neurons that go: a round's work, thrice
        again_s = recipe.deadline_s and 3 * t * recipe.deadline_s
        link.ask_all(circle.devices, "finish", {}, key, again_s, recipe.quorum)
    return mixing


def scores_of(answers: Answers) -> dict[str, tuple[float, float]]:
    """How well the devices say that they do on their validation splits: the larger, the better."""
    return {device: (v["val_accuracy"], -v["val_loss"]) for device, v in answers.said.items()}
