"""2,000 messages as somebody else would make them: none is accepted that should not be, and none
stops another device. Each starts from one that :func:`send` made."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.modality import ImageInfo
from tasks.edge.header import fits
from tasks.links.asking import Ask, Key, Link, Reply
from tasks.links.kinds import declared, questions
from tasks.links.link import VERSION, Message, Route, receive, send
from tasks.run.errors import LinkError
from tasks.run.store import Store, encode

EDGE, ME, OTHERS, RUN, ROUND = "edge-0", "device-00", ("device-01", "device-02"), "a" * 64, 2
INFO = ImageInfo("mine", ("a", "b", "c"), 4, 1, (0.5,), (0.5,))
SET = torch.full((6,), 1 / 6)
BODIES: dict[str, tuple[dict[str, torch.Tensor], dict[str, Any]]] = {
    "device_attributes": (
        {},
        {"storage_limit": 9000, "gpu_capacity_watt": 5.0, "base_latency_s": 1.5},
    ),
    "feature_sketch": ({"features": torch.linspace(-2, 2, 24).view(6, 4).half()}, {}),
    "importance_set": ({"importance": SET}, {}),
    "metrics": ({}, {"val_loss": 0.5, "val_accuracy": 0.75, "parameters": 1234}),
    "shared_samples": (
        {
            "images": torch.arange(48, dtype=torch.uint8).view(3, 1, 4, 4),
            "labels": torch.tensor([0, 1, 2], dtype=torch.int16),
        },
        {"train_count": 2},
    ),
}
QUESTION = {up: name for name, question in questions().items() for up in question.up}
KINDS = st.sampled_from(sorted(BODIES))


@pytest.fixture(autouse=True, scope="module")
def _in_a_folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One store for all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("fuzzed"))
        yield


@cache
def sent(kind: str, device: str = ME) -> Message:
    return send(kind, Route(device, EDGE, ROUND, RUN), *BODIES[kind])


def with_payload(message: Message, payload: bytes) -> Message:
    """The message with another content, which is what its row says."""
    sha256 = hashlib.sha256(payload).hexdigest()
    changed = replace(message, sha256=sha256, bytes=len(payload))
    Store.here().path(changed.content).write_bytes(payload)
    return changed


class Fixed:
    """A carrier that brings these answers."""

    def __init__(self, replies: dict[str, Reply]) -> None:
        self.replies = replies

    def ask(self, asks: Sequence[Ask], deadline_s: float | None) -> list[Reply]:
        return [self.replies[ask.device] for ask in asks]


def asked(kind: str, reply: Any) -> bool:
    """Whether the edge takes a device's answer; that of the others it takes whatever that is."""
    replies: dict[str, Reply] = {ME: reply, **{d: (sent(kind, d),) for d in OTHERS}}
    link = Link(EDGE, Fixed(replies), fits(INFO))
    answers = link.ask_all([ME, *OTHERS], QUESTION[kind], {}, Key(RUN, ROUND), quorum=0.5)
    assert all(answers.messages[d] == replies[d] for d in OTHERS)
    assert (ME in answers.messages) != (ME in answers.failed)
    for message in answers.messages.get(ME, ()):
        assert message.route == Route(ME, EDGE, ROUND, RUN)
        assert in_range(message)
    return ME in answers.messages


def in_range(message: Message) -> bool:
    """Written a second time, apart from the schema: what an edge may build on."""
    tensors, values = receive(message)
    number = {k: v for k, v in values.items() if type(v) in (int, float)}
    if len(number) != len(values) or not all(0 <= v <= 1 << 40 for v in number.values()):
        return False
    if message.kind == "device_attributes":
        return all(v > 0 for v in number.values())
    if message.kind == "metrics":
        return values["val_accuracy"] <= 1
    if message.kind == "feature_sketch":
        return bool((tensors["features"].abs() <= 100).all())
    if message.kind == "importance_set":
        return bool(((tensors["importance"] >= 0) & (tensors["importance"] <= 1)).all())
    labels, images = tensors["labels"], tensors["images"]
    fit = images.shape == (len(labels), 1, 4, 4) and values["train_count"] <= len(labels)
    return fit and bool(((labels >= 0) & (labels < 3)).all())


@settings(max_examples=500)
@given(KINDS, st.data())
def test_bytes(kind: str, data: st.DataObject) -> None:
    """Cut, flipped, inserted, repeated."""
    message = sent(kind)
    payload = bytearray(Store.here().path(message.content).read_bytes())
    at = data.draw(st.integers(0, len(payload) - 1))
    how = data.draw(st.sampled_from(["cut", "flip", "insert", "head", "tail"]))
    noise = data.draw(st.binary(min_size=1, max_size=9))
    changed = {
        "cut": bytes(payload[:at]),
        "flip": bytes([*payload[:at], payload[at] ^ (noise[0] or 1), *payload[at + 1 :]]),
        "insert": bytes(payload[:at] + noise + payload[at:]),
        "head": noise[:8].ljust(8, b"\0") + bytes(payload[8:]),
        "tail": bytes(payload + noise),
    }[how]
    asked(kind, (with_payload(message, changed),))
    if changed != payload:  # and under the old name nothing but the old bytes is taken
        path = Store.here().path(message.content)
        path.write_bytes(changed)
        with pytest.raises(LinkError, match="content changed"):
            receive(message)
        path.write_bytes(payload)


VALUE = st.one_of(
    st.sampled_from([True, None, -1, 0, 1, 1.5, float("nan"), float("inf"), -float("inf"), 1e300]),
    st.integers(-(1 << 70), 1 << 70),
    st.floats(),
    st.text(max_size=9),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@settings(max_examples=400)
@given(st.sampled_from(["device_attributes", "metrics", "shared_samples"]), st.data())
def test_values(kind: str, data: st.DataObject) -> None:
    """A value exchanged, left out, added; JSON that is none, too deep, or of another version."""
    tensors, values = BODIES[kind]
    names = st.sampled_from([*values, VERSION, "more"])
    changed = {**values, VERSION: 1, **data.draw(st.dictionaries(names, VALUE, max_size=2))}
    for name in data.draw(st.lists(names, max_size=1)):
        changed.pop(name, None)
    words = json.dumps(changed).encode()
    deep = data.draw(st.sampled_from([b"", b"", b"", b"[" * 200_000, b'{"a":' * 200_000, b"\xff{"]))
    payload = encode(tensors, changed) if tensors else deep or words
    taken = asked(kind, (with_payload(sent(kind), payload),))
    plain = {name: value for name, value in changed.items() if name != VERSION}
    # by repr: True and 1.0 are 1 to Python, and no version, no number of samples
    same = repr((plain, changed.get(VERSION, 1))) == repr((values, 1))
    if not deep and same:
        assert taken


@settings(max_examples=400)
@given(st.sampled_from(["feature_sketch", "importance_set", "shared_samples"]), st.data())
def test_tensors(kind: str, data: st.DataObject) -> None:
    """Another dtype, shape, number, name; a header that says what is not there."""
    tensors, values = dict(BODIES[kind][0]), BODIES[kind][1]
    name = data.draw(st.sampled_from(sorted(tensors)))
    number = data.draw(
        st.sampled_from([0.0, -1.0, 1.0, 3.0, 101.0, 65_504.0, float("nan"), float("inf")])
    )
    dtypes = [torch.float16, torch.float32, torch.float64, torch.uint8, torch.int16, torch.bool]
    shapes = [(), (0,), (1,), (6,), (3, 1, 4, 4), (6, 4), (0, 4), (3, 0, 4, 4), (2, 1, 4, 4)]
    shape = data.draw(st.sampled_from([tuple(tensors[name].shape), *shapes]))
    dtype = data.draw(st.sampled_from([tensors[name].dtype, *dtypes]))
    tensors[data.draw(st.sampled_from([name, name, "other", "../x", "\0"]))] = torch.full(
        shape,
        number if dtype.is_floating_point else min(max(number, 0), 127) if number == number else 0,
    ).to(dtype)
    payload = encode(tensors, {**values, VERSION: 1})
    lie = data.draw(st.sampled_from([b"", b"", b'"F8_E8M0"', b'"Q9"', b'"F64"']))
    if lie:
        payload = payload.replace(b'"F16"', lie.ljust(5), 1)
    asked(kind, (with_payload(sent(kind), payload),))


NAMES = ["", ".", "..", "../edge-0", "a/b", "a\\b", "a\0", "é", "x" * 65, ME + "\n", "cloud", ME]
NOWHERE = ["", "0" * 64, "../" * 9 + "etc/passwd", "/dev/zero", "/etc", None]
ODD = [None, 3, (None,), ("a",), ({"kind": "metrics"},), "\x1b[2J" * 999]


@settings(max_examples=400)
@given(KINDS, st.data())
def test_rows(kind: str, data: st.DataObject) -> None:
    """Other kinds, ends, rounds, runs, sizes and places; more than one, none, or no message."""
    message = sent(kind)
    fields = {
        "kind": st.sampled_from([*declared(), "gossip", "../" + kind]),
        "sender": st.sampled_from([*NAMES, *OTHERS]),
        "receiver": st.sampled_from([*NAMES, "edge-1", *OTHERS]),
        "direction": st.sampled_from(["down", "", None]),
        "round": st.sampled_from([0, 1, 3, -1, True, 2.0, "2", None, 1 << 70]),
        "run": st.sampled_from(["", "b" * 64, "../..", None, 3]),
        "bytes": st.sampled_from([0, -1, 1, message.bytes - 1, message.bytes + 1, 1 << 60, True]),
        "sha256": st.sampled_from(NOWHERE),
    }
    name = data.draw(st.sampled_from(sorted(fields)))
    other = data.draw(fields[name])
    changed = replace(message, **{name: other})
    how = data.draw(st.sampled_from(["one", "one", "one", "twice", "none", "odd"]))
    reply = {
        "one": (changed,),
        "twice": (message, changed),
        "none": (),
        "odd": data.draw(st.sampled_from(ODD)),
    }[how]
    same = how == "one" and repr(changed) == repr(message)
    may_be_silent = ("feature_sketch", "importance_set", "shared_samples")
    nothing_to_send = how == "none" and kind in may_be_silent
    assert asked(kind, reply) == (same or nothing_to_send)


@settings(max_examples=200)
@given(KINDS, st.sampled_from(["link", "loop", "pipe", "folder", "zero", "large", "other", "gone"]))
def test_places(kind: str, what: str) -> None:
    """What lies where the content should: a link, a pipe that nobody writes to, a folder, another
    message's content."""
    message = sent(kind)
    path = Store.here().path(message.content)
    kept = path.read_bytes()
    path.unlink()
    beside = path.with_name("beside")
    beside.write_bytes(kept)
    make: dict[str, Callable[[], object]] = {
        "link": lambda: path.symlink_to(beside),
        "loop": lambda: path.symlink_to(path),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "zero": lambda: path.symlink_to("/dev/zero"),
        "large": lambda: path.write_bytes(kept + b"\0" * (1 << 20)),
        "other": lambda: path.write_bytes(b"\0" * len(kept)),
        "gone": lambda: None,
    }
    make[what]()
    with pytest.raises(LinkError):
        receive(message, kind)
    path.rmdir() if what == "folder" else path.unlink(missing_ok=True)
    path.write_bytes(kept)


@settings(max_examples=100)
@given(KINDS, st.text(max_size=70) | st.sampled_from(NAMES), st.booleans())
def test_names(kind: str, name: str, sender: bool) -> None:
    """Neither sends nor is sent to, unless it is the name of a device or an edge."""
    route = Route(name, EDGE, ROUND, RUN) if sender else Route(ME, name, ROUND, RUN)
    good = len(name) <= 64 and name.replace("-", "").replace("_", "").isalnum() and name.isascii()
    if (sender and not name.startswith("device-")) or not good or name[0] in "-_":
        with pytest.raises(LinkError):
            send(kind, route, *BODIES[kind])


def test_there_are_two_thousand() -> None:
    counts = [
        value._hypothesis_internal_use_settings.max_examples
        for name, value in globals().items()
        if name.startswith("test_") and hasattr(value, "_hypothesis_internal_use_settings")
    ]
    assert sum(counts) >= 2000
