"""What is fuzzed: each target takes bytes, and raises only if there is a fault in the product."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final, Literal

import msgspec
from doubles.plugin_world import make_context
from doubles.vectors import transcripts

from chatbot import Range, Rest, Url, UsageError, User, wire
from chatbot.client.crypto.browser_session import export_session, import_session
from chatbot.client.crypto.identity import Identity
from chatbot.client.crypto.key_manager import KeyRing
from chatbot.client.crypto.message import decode_content, encode_content
from chatbot.client.crypto.session_manager import PeerRecord
from chatbot.client.crypto.x3dh import PrekeyBundle
from chatbot.client.exceptions import DecryptionError, ValidationError
from chatbot.plugins.arguments import compile_parser
from chatbot.plugins.parameters import read_signature
from chatbot.settings import load_settings
from chatbot.settings_errors import SettingsError

_MINUTE: Final = 60_000

_START: Final = 86_400_000

_FRAMES: Final[dict[str, Any]] = {
    "message": wire.MessageFrame,
    "online": wire.OnlineFrame,
    "status": wire.StatusFrame,
    "read": wire.ReadFrame,
    "typing": wire.TypingFrame,
    "group_message": wire.GroupMessageFrame,
    "group_typing": wire.GroupTypingFrame,
    "group_read": wire.GroupReadFrame,
    "group_event": dict[str, Any],
    "error": wire.ErrorFrame,
}


@dataclass(frozen=True, slots=True)
class Target:
    """Something that reads what others have written.

    Attributes:
        seeds: good inputs, to be damaged.
        read: raises what the product must never raise, or AssertionError.
    """

    name: str
    seeds: Sequence[bytes]
    read: Callable[[bytes], None] = field(repr=False)


@contextmanager
def all_targets() -> Iterator[list[Target]]:
    """Every target, with what it needs made afresh."""
    with TemporaryDirectory(prefix="fuzz-") as folder, closing(asyncio.new_event_loop()) as loop:
        file = Path(folder) / "config.toml"
        yield [frames(), contents(), records(), imports(), configs(file), arguments(loop)]


def _explains(error: Exception, *, reason: str | None = None) -> None:
    """An error of the product has words, and is the one that is meant for this."""
    assert str(error)
    assert reason is None or getattr(error, "reason", None) == reason


# ---------------------------------------------------------------- the wire


def frames() -> Target:
    """A frame and its payload, as the socket's reader decodes them."""

    def read(data: bytes) -> None:
        try:
            frame = wire.decode_frame(data)
            msgspec.json.decode(frame.payload, type=_FRAMES.get(frame.type, Any))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            pass  # what the reader expects and drops

    message = {"id": "a", "from": "b", "to": "c", "content": "hi", "timestamp": 1}
    more = {"status": "sent", "type": "text", "encrypted": True, "imageData": None}
    payloads: dict[str, Any] = {
        "message": message | more,
        "online": {"users": [{"userId": "a", "username": "b", "online": True}]},
        "status": {"messageId": "a", "status": "delivered"},
        "read": {"messageIds": ["a"], "readBy": "b"},
        "typing": {"from": "a", "username": "b", "typing": True},
        "group_message": {"id": "a", "group_id": "g", "from_user": "b", **message},
        "error": {"message": "no"},
    }
    return Target("frames", [wire.encode_frame(k, v) for k, v in payloads.items()], read)


# ---------------------------------------------------------------- cryptography


def contents() -> Target:
    """A message's content: it decodes, and means the same again, or is refused as malformed."""

    def read(data: bytes) -> None:
        try:
            message = decode_content(data.decode(errors="surrogateescape"))
        except DecryptionError as error:
            _explains(error, reason="malformed")
        else:
            assert decode_content(encode_content(message)) == message

    seeds = [step.wire.encode() for transcript in transcripts() for step in transcript.steps]
    return Target("contents", seeds, read)


def records() -> Target:
    """A message on its way through a peer's sessions: what fails has changed nothing."""
    talk = _Talk()
    now = _START

    def read(data: bytes) -> None:
        nonlocal now
        now += 2 * _MINUTE  # so that the failure budget lets every one of them in
        record, before = talk.receiver(), talk.state()
        try:
            record.receive(decode_content(data.decode(errors="replace")), talk.ring, now)
        except DecryptionError:
            assert talk.state() == before
        else:
            talk.begin_anew()

    return Target("records", talk.contents(), read)


class _Talk:
    """A record with a session in it, and messages that are still to come."""

    def __init__(self) -> None:
        self.ring = KeyRing(Identity.generate())
        self._peer = Identity.generate()
        sender = PeerRecord("us")
        upload = self.ring.upload_body(self.ring.new_signed_prekey(_START), [])
        bundle = PrekeyBundle.from_body(
            wire.PrekeyBundleBody(
                upload.identity_key,
                upload.signing_key,
                upload.fingerprint,
                upload.signed_prekey,
                None,
            )
        )
        sender.accept_identity(bundle.identity_key)
        self._first = sender.open_session("1", b"hello", self._peer, bundle, _START)[1]
        self._record = self.begin_anew()
        answer = self._record.encrypt(b"you, too", _START)[1]
        sender.receive(answer, KeyRing(self._peer), _START)
        self._later = [sender.encrypt(b"and on", _START)[1] for _ in range(4)]
        self._later.append(sender.open_session("2", b"anew", self._peer, bundle, _START)[1])

    def begin_anew(self) -> PeerRecord:
        """Have only the first message received."""
        self._record = PeerRecord("them")
        self._record.accept_identity(self._peer.public_key)
        self._record.receive(self._first, self.ring, _START)
        return self._record

    def receiver(self) -> PeerRecord:
        """The record."""
        return self._record

    def state(self) -> tuple[Any, ...]:
        """All of the record that is stored."""
        record = self._record
        sessions = {s.id: (s.to_bytes(), dict(s.skipped)) for s in record.sessions.values()}
        return sessions, record.confirmed, record.identity_key, record.capabilities

    def contents(self) -> list[bytes]:
        """What is still to come, as it comes."""
        return [encode_content(message).encode() for message in self._later]


def imports() -> Target:
    """A session of a browser: imported whole, or refused."""

    def read(data: bytes) -> None:
        try:
            session = import_session(data.decode(errors="replace"), peer_id="them", now=1)
        except ValidationError:
            return
        again = import_session(export_session(session, "them"), peer_id="them", now=1)
        assert again.id == session.id

    talk = _Talk()
    exported = [export_session(s, "them") for s in talk.receiver().sessions.values()]
    records = [json.loads(text) for text in exported]
    index_maps = [
        r | {"remoteIdentityKey": {str(n): n for n in range(32)}, "peerId": "them"} for r in records
    ]
    return Target("imports", [json.dumps(r).encode() for r in records + index_maps], read)


# ---------------------------------------------------------------- people and operators


def configs(file: Path) -> Target:
    """A config.toml: read, or refused with what is wrong."""

    def read(data: bytes) -> None:
        file.write_bytes(data)
        try:
            load_settings(file)
        except SettingsError as error:
            _explains(error)

    seed = b"""
[bot]
name = "bot"
prefix = "/"
owners = ["alice"]
timezone = "Europe/Berlin"
[server]
url = "embedded"
port = 8787
[storage]
path = "data"
[plugins]
load = ["./plugin.py"]
[limits]
user = "5/10s"
tries = 3
"""
    return Target("configs", [seed], read)


def _command(
    number: int,
    ratio: float,
    span: timedelta,
    mode: Literal["on", "off"],
    day: date,
    clock: time,
    moment: datetime,
    where: Url,
    *,
    who: User | None = None,
    most: Annotated[int, Range(1, 9)] = 1,
    loud: bool = False,
) -> None: ...


def _lines(words: list[str], rest: Rest) -> None: ...


def arguments(loop: asyncio.AbstractEventLoop) -> Target:
    """What stands behind a command's name: read, or answered with how it is used."""
    parsers = [compile_parser(read_signature(command), {}) for command in (_command, _lines)]

    def read(data: bytes) -> None:
        text = data.decode(errors="replace")
        for parser in parsers:
            try:
                loop.run_until_complete(parser.parse(text, make_context(text)))
            except UsageError as error:
                _explains(error)

    seeds = [
        b"-7 2.5e1 2h30m on 2026-01-02 12:30 2026-01-02T12:30 https://example.org",
        b'7 .5 3d off today 7am "tomorrow 9:00" http://[::1]:80/ --who @alice --most 3 --loud',
        b'one \'two words\' three "four\\" five"',
    ]
    return Target("arguments", seeds, read)
