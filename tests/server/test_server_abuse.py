"""What somebody with too much time sends."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from doubles.faulty_backend import CHEAP_HASHER
from doubles.raw_client import Person, PersonSocket, RawBackend, raw_backend
from hypothesis import given, settings
from hypothesis import strategies as st

from chatbot.server import Server

POSTS = [
    ("POST", "/api/auth/register"),
    ("POST", "/api/auth/login"),
    ("POST", "/api/users/prekeys"),
    ("POST", "/api/verify-key"),
    ("POST", "/api/messages"),
    ("PUT", "/api/messages/status"),
    ("POST", "/api/groups"),
    ("PUT", "/api/groups/x"),
    ("POST", "/api/groups/x/members"),
    ("PUT", "/api/groups/x/members/y/role"),
    ("POST", "/api/groups/x/invite"),
    ("POST", "/api/groups/join"),
]


DEEP = b'{"deep": ' + b"[" * 100_000


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", DEEP, b'{"username": "\\ud800"}'])
async def test_a_body_that_is_not_json(alice: Person, body: bytes) -> None:
    for method, path in POSTS:
        answer = await alice.call(method, path, body)

        assert answer.status == 500, path
        assert answer.error == "The request's body is not valid JSON"


@pytest.mark.parametrize("body", [b"null", b"7", b'"text"', b"[]"])
async def test_a_body_that_is_no_object(alice: Person, body: bytes) -> None:
    for method, path in POSTS:
        answer = await alice.call(method, path, body)

        assert answer.status == 400, path
        assert answer.error


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/api/../../etc/passwd",
        "/api/users/..%2f..%2f..%2fetc%2fpasswd/prekeys",
        "/api/groups/%00",
        "/api/groups/%ff",
        "/api/messages/%2e%2e?user=x",
        "/api//users",
        "/ws/..",
    ],
)
async def test_paths_lead_nowhere(backend: RawBackend, alice: Person, path: str) -> None:
    host, port = backend.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {alice.token}\r\n\r\n".encode()
    )
    answer = await reader.read()
    writer.close()

    assert b"root:" not in answer
    assert answer.split()[1] in {b"400", b"401", b"403", b"404"}


@pytest.mark.parametrize(
    "request_text",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET /api/users HTTP/9.9\r\n\r\n",
        b"GET /api/users HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_is_not_http(backend: RawBackend, request_text: bytes) -> None:
    host, port = backend.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request_text)
    answer = await reader.readline()
    writer.close()

    assert b" 400 " in answer
    assert (await backend.call("GET", "/api/users")).status == 200


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["text", "image", "data:image/png;base64,", "{alice}", "{group}"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    [
        "to",
        "content",
        "messageType",
        "encrypted",
        "messageId",
        "imageData",
        "typing",
        "status",
        "messageIds",
        "groupId",
        "event",
    ]
)
TYPES = st.sampled_from(
    [
        "message",
        "typing",
        "status",
        "read",
        "group_message",
        "group_read",
        "group_typing",
        "group_event",
        "unknown",
    ]
)
FRAMES = st.tuples(TYPES, st.dictionaries(FIELDS, JSON, max_size=6) | JSON)


def filled(value: Any, places: dict[str, str]) -> Any:
    """Put real ids where a strategy left a place for them."""
    return json.loads(
        json.dumps(value).replace("{alice}", places["alice"]).replace("{group}", places["group"])
    )


@given(frames=st.lists(FRAMES, max_size=60))
@settings(max_examples=15, deadline=None)
def test_no_frame_breaks_the_socket_it_comes_over(
    tmp_path_factory: pytest.TempPathFactory, frames: list[tuple[str, Any]]
) -> None:
    """Any frame is served, ignored or answered with an error, and the next one is served."""

    async def run(path: Path) -> None:
        async with (
            Server(path, port=0, password_hasher=CHEAP_HASHER) as server,
            raw_backend(server.url) as backend,
        ):
            alice = await backend.register("alice")
            group = (await alice.call("POST", "/api/groups", {"name": "Team"})).body["id"]
            async with alice.online() as socket:
                await send_all(socket, {"alice": alice.id, "group": group})

    async def send_all(socket: PersonSocket, places: dict[str, str]) -> None:
        for kind, payload in frames:
            await socket.send_raw({"type": kind, "payload": filled(payload, places)})
            for answer, _ in await socket.pending():
                assert answer in {"error", kind}

    asyncio.run(run(tmp_path_factory.mktemp("fuzz") / "backend.db"))
