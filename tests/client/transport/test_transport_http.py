"""The REST client against a backend that breaks off, stalls, lies and never ends."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest
from aiohttp import web
from doubles.scripted_backend import Answer, backend, calling, say

from chatbot import wire
from chatbot.client import exceptions
from chatbot.client.transport import rest_client
from chatbot.client.transport.rest_client import RestClient

ROW = {"id": "m1", "fromUser": "you", "toUser": "me", "content": "hello", "timestamp": 5}


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def stall(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


def stream(*pieces: bytes, end: Callable[[web.Request], Awaitable[object]] | None = None) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        if end is not None:
            await end(request)
        return response

    return answer


def endless(piece: bytes) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"[" + json.dumps(ROW).encode())
        while True:
            await response.write(piece)

    return answer


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (400, {"error": "No message IDs provided"}, exceptions.ValidationError, "No message IDs"),
        (401, {"error": "Unauthorized"}, exceptions.AuthenticationError, "log in again"),
        (403, {"error": "Only admins"}, exceptions.PermissionDeniedError, "^Only admins$"),
        (404, {"error": "Group not found"}, exceptions.ValidationError, "Group not found"),
        (409, {"error": "Taken"}, exceptions.ValidationError, "Taken"),
        (413, {"error": "Too large"}, exceptions.ValidationError, "Too large"),
        (418, {"error": "Teapot"}, exceptions.BackendError, "HTTP 418, Teapot"),
        (429, {"error": "Slow\x1b[31m"}, exceptions.BackendError, "HTTP 429, Slow \\[31m$"),
        (500, {"error": "boom"}, exceptions.BackendError, "HTTP 500, boom"),
        (400, {"error": 7}, exceptions.BackendError, "HTTP 400, with no reason"),
        (403, [], exceptions.BackendError, "HTTP 403"),
        (500, None, exceptions.BackendError, "HTTP 500"),
    ],
)
async def test_an_error_becomes_ours_with_the_backends_words(
    status: int, body: Any, error: type[Exception], words: str
) -> None:
    async with calling(say(status, body)) as (_, rest):
        with pytest.raises(error, match=words) as caught:
            await rest.groups()
        if isinstance(caught.value, exceptions.BackendError):
            assert caught.value.status == status
        assert "some-token" not in str(caught.value)


async def test_a_refusal_without_words() -> None:
    async with calling(say(401, text="")) as (_, rest):
        with pytest.raises(exceptions.AuthenticationError, match="/api/auth/login: not authorized"):
            await rest.login("me", "password")


async def test_an_unknown_path_is_answered_in_plain_text() -> None:
    async with calling(say(404, text="Not found")) as (_, rest):
        with pytest.raises(exceptions.BackendError, match="GET /api/groups: HTTP 404") as caught:
            await rest.groups()
        assert caught.value.status == 404


@pytest.mark.parametrize(
    "text", ["", "<html>", "null", "[]", '{"verified":"yes"}', "{" * 9, '{"a":' * 100_000]
)
async def test_an_answer_that_cannot_be_understood(text: str) -> None:
    async with calling(say(200, text=text)) as (_, rest):
        with pytest.raises(exceptions.BackendError, match="cannot be understood"):
            await rest.verification("you")


async def test_a_call_without_success() -> None:
    async with calling(say(200, {"success": False})) as (_, rest):
        with pytest.raises(exceptions.BackendError, match="no success"):
            await rest.leave_group("g")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    async with (
        backend(say(200, [])) as elsewhere,
        calling(say(status, text="", Location=elsewhere.url)) as (double, rest),
    ):
        with pytest.raises(exceptions.BackendError, match="redirect, which is not followed"):
            await rest.groups()
        assert len(double.calls) == 1
        assert elsewhere.calls == []


async def test_malformed_rows_are_skipped_and_counted() -> None:
    rows = [{"id": "1", "username": "a"}, {"id": 7, "username": "b"}, 3, {"id": "4"}, None]
    async with calling(say(200, rows)) as (_, rest):
        assert await rest.users() == [wire.UserEntry("1", "a")]
        assert rest.rejected == {"malformed": 4}


async def test_an_answer_too_large_is_not_read() -> None:
    async with calling(endless(b" " * 1000), limits={"body": 100_000}) as (_, rest):
        with pytest.raises(exceptions.BackendError, match="larger than 100000 bytes"):
            await rest.groups()


async def test_an_error_too_large_is_not_read() -> None:
    async with calling(say(500, {"error": "x" * 100_000})) as (_, rest):
        with pytest.raises(exceptions.BackendError, match="larger than"):
            await rest.groups()


async def test_a_compressed_answer_is_not_unpacked() -> None:
    async with calling(say(200, [], **{"Content-Encoding": "gzip"})) as (double, rest):
        assert await rest.groups() == []
        assert double.requests[0].headers["Accept-Encoding"] == "identity"


# ---------------------------------------------------------------- trying again


async def test_what_may_be_repeated_is_with_growing_pauses() -> None:
    async with calling(hang_up, say(503, {"error": "busy"}), say(200, [])) as (double, rest):
        assert await rest.groups() == []
        assert double.calls == ["GET /api/groups"] * 3
        assert double.pauses == [0.5, 1.0]


@pytest.mark.parametrize("answer", [hang_up, say(502), say(503), say(504)])
async def test_what_may_be_repeated_is_not_for_ever(answer: Answer) -> None:
    async with calling(answer) as (double, rest):
        with pytest.raises((exceptions.ConnectionError, exceptions.BackendError)):
            await rest.set_status(["m"], "read")
        assert double.calls == ["PUT /api/messages/status"] * 3


@pytest.mark.parametrize("answer", [hang_up, say(503, {"error": "busy"})])
@pytest.mark.parametrize(
    "call",
    [
        lambda rest: rest.prekey_bundle("you"),
        lambda rest: rest.register("me", "password"),
        lambda rest: rest.upload_keys(wire.KeyUpload("", "", "", None, [])),
        lambda rest: rest.create_group(wire.GroupCreate("g")),
    ],
)
async def test_what_must_not_happen_twice_is_sent_once(
    answer: Answer, call: Callable[[RestClient], Awaitable[object]]
) -> None:
    # On a connection that was used before: there aiohttp by itself would send a GET again.
    async with calling(say(200, []), answer) as (double, rest):
        await rest.groups()
        with pytest.raises((exceptions.ConnectionError, exceptions.BackendError)):
            await call(rest)
        assert len(double.calls) == 2


async def test_other_errors_are_not_repeated() -> None:
    for status in (400, 403, 404, 500):
        async with calling(say(status, {"error": "no"})) as (double, rest):
            with pytest.raises(exceptions.WhatsAppClientError):
                await rest.groups()
            assert len(double.calls) == 1


async def test_a_backend_that_is_down_is_tried_even_for_what_must_not_happen_twice() -> None:
    async with calling(say(200)) as (double, rest):
        rest_elsewhere = RestClient("http://127.0.0.1:1", sleep=double.sleep, random=lambda: 1.0)
        with pytest.raises(
            exceptions.ConnectionError, match=r"http://127\.0\.0\.1:1 cannot be reached \(.*refused"
        ):
            await rest_elsewhere.register("me", "password")
        assert double.pauses == [0.25, 0.5]
        await rest_elsewhere.close()
        await rest.close()


async def test_a_token_refused_once_is_replaced_and_the_call_repeated() -> None:
    async def relogin() -> str:
        return "new-token"

    refused = say(401, {"error": "Unauthorized"})
    answers = [refused, say(200, {"id": "g", "name": "n"})]
    async with calling(*answers, relogin=relogin) as (double, rest):
        await rest.create_group(wire.GroupCreate("n"))
        tokens = [request.headers["X-Auth-Token"] for request in double.requests]
        assert tokens == ["some-token", "new-token"]
        assert double.requests[0].headers["Authorization"] == "Bearer me"
    async with calling(refused, relogin=relogin) as (double, rest):
        with pytest.raises(exceptions.AuthenticationError, match="Unauthorized"):
            await rest.prekey_status()
        assert [request.headers["Authorization"] for request in double.requests] == [
            "Bearer some-token",
            "Bearer new-token",
        ]


# ---------------------------------------------------------------- times


async def test_an_answer_that_does_not_come() -> None:
    async with calling(stall, limits={"total": 0.1, "attempts": 1}) as (_, rest):
        with pytest.raises(exceptions.ConnectionError, match="no answer in time"):
            await rest.groups()


async def test_an_answer_that_trickles() -> None:
    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    async with calling(trickle, limits={"total": 0.1, "attempts": 1}) as (_, rest):
        with pytest.raises(exceptions.ConnectionError, match="no answer in time"):
            await rest.groups()


# ---------------------------------------------------------------- histories


async def history(rest: RestClient, **options: Any) -> list[str]:
    return [row.id async for row in rest.iter_history("you", **options)]


def row(**changes: Any) -> bytes:
    return json.dumps({**ROW, **changes}).encode()


async def test_a_history_is_cut_into_rows_wherever_the_chunks_end() -> None:
    document = b"[" + b",".join(row(id=f"m{n}", content='a"]},\\é') for n in range(20)) + b"]"
    pieces = [document[n : n + 7] for n in range(0, len(document), 7)]
    async with calling(stream(*pieces)) as (double, rest):
        assert await history(rest) == [f"m{n}" for n in range(20)]
        assert double.calls == ["GET /api/messages/you?user=me"]


async def test_rows_up_to_a_time_are_left_out_wherever_the_backend_sends_them() -> None:
    document = b"[" + b",".join(row(id=f"m{n}", timestamp=n) for n in range(5)) + b"]"
    async with calling(stream(document)) as (double, rest):
        assert await history(rest, after=2) == ["m3", "m4"]
        assert double.calls == ["GET /api/messages/you?user=me&after=2"]


async def test_rows_that_are_none_or_too_long_are_skipped() -> None:
    long = row(id="long", content="x" * (12 * 1024 * 1024))
    rows = [row(), b"7", b'{"id":3}', row(timestamp="soon"), b"nope", b"[" * 9999 + b"]" * 9999]
    async with calling(stream(b"[", b",".join(rows), b",", long, b",", row(id="m2"), b"]")) as (
        _,
        rest,
    ):
        assert await history(rest) == ["m1", "m2"]
        assert rest.rejected == {"malformed": 5, "oversized": 1}


@pytest.mark.parametrize("text", ["", "null", '{"error":"no"}', "[] []", "[1}", "<html>"])
async def test_a_history_that_is_no_list(text: str) -> None:
    async with calling(say(200, text=text)) as (_, rest):
        with pytest.raises(exceptions.BackendError, match="cannot be understood"):
            await history(rest)


@pytest.mark.parametrize("end", [hang_up, None])
async def test_a_history_that_breaks_off_is_no_whole_one(end: Answer | None) -> None:
    async with calling(stream(b"[" + row() + b",{", end=end)) as (double, rest):
        rows = rest.iter_history("you")
        assert (await anext(rows)).id == "m1"
        with pytest.raises((exceptions.ConnectionError, exceptions.BackendError)):
            await anext(rows)
        assert len(double.calls) == 1


async def test_a_history_that_cannot_be_opened_is_asked_for_again() -> None:
    async with calling(say(503), hang_up, stream(b"[" + row() + b"]")) as (_, rest):
        assert await history(rest) == ["m1"]


async def test_a_history_that_stands_still() -> None:
    async with calling(stream(b"[" + row(), end=stall), limits={"idle": 0.1}) as (_, rest):
        with pytest.raises(exceptions.ConnectionError, match="no answer in time"):
            await history(rest)


async def test_a_history_that_never_begins() -> None:
    async with calling(stall, limits={"total": 0.1, "attempts": 1}) as (_, rest):
        with pytest.raises(exceptions.ConnectionError, match="no answer in time"):
            await history(rest)


async def test_a_history_that_trickles_is_given_up() -> None:
    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"[")
        while True:
            await response.write(row() + b",")
            await asyncio.sleep(0.01)

    async with calling(trickle, limits={"stream": 0.2}) as (_, rest):
        with pytest.raises(exceptions.ConnectionError, match="no answer in time"):
            await history(rest)


async def test_the_readers_own_time_is_not_counted() -> None:
    pieces = [b"[" + row(), *[b"," + row()] * 4, b"]"]
    async with calling(stream(*pieces), limits={"stream": 0.15, "idle": 0.15}) as (_, rest):
        seen = 0
        async for _row in rest.iter_history("you"):
            seen += 1
            await asyncio.sleep(0.05)
        assert seen == 5


@pytest.mark.parametrize("piece", [b"," + row(), b" " * 1000, b',"' + b"x" * 1000])
async def test_a_history_without_end_is_given_up(piece: bytes) -> None:
    async with calling(endless(piece), limits={"stream_body": 200_000}) as (_, rest):
        with pytest.raises(exceptions.BackendError, match="too large"):
            await history(rest)


async def test_a_history_need_not_be_taken_to_its_end() -> None:
    async with calling(endless(b"," + row())) as (_, rest):
        async with aclosing(rest.iter_history("you")) as rows:
            assert (await anext(rows)).id == "m1"
        assert await asyncio.wait_for(history_head(rest), 20) == "m1"


async def history_head(rest: RestClient) -> str:
    async with aclosing(rest.iter_history("you")) as rows:
        return (await anext(rows)).id


# ---------------------------------------------------------------- group histories


class GroupBackend:
    """Pages a group's history as the real backend does."""

    def __init__(self, times: list[int]) -> None:
        self.rows: list[dict[str, Any]] = [
            {"id": f"g{n}", "group_id": "g", "from_user": "you", "timestamp": time, "content": ""}
            for n, time in enumerate(times)
        ]
        self.page = 200

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        limit = min(int(request.query["limit"]), self.page)
        before = int(request.query.get("before", 2**53))
        return web.json_response([r for r in self.rows if r["timestamp"] < before][-limit:])


async def pages(rest: RestClient, after: int | None = None) -> list[list[str]]:
    found = rest.iter_group_pages("g", after=after)
    return [[row.id for row in page] async for page in found]


def ids(*ranges: range) -> list[list[str]]:
    return [[f"g{n}" for n in numbers] for numbers in ranges]


async def test_a_group_history_comes_page_by_page_newest_first() -> None:
    async with calling(GroupBackend(list(range(1000, 1500)))) as (double, rest):
        # The pages overlap in the row at their edge, which comes once all the same.
        assert await pages(rest) == ids(range(300, 500), range(101, 300), range(101))
        assert double.calls[0] == "GET /api/groups/g/messages?limit=200"
        assert double.calls[1] == "GET /api/groups/g/messages?limit=200&before=1301"


async def test_a_group_history_is_read_back_to_a_time() -> None:
    async with calling(GroupBackend(list(range(1000, 1500)))) as (double, rest):
        assert await pages(rest, after=1497) == ids(range(498, 500))
        assert len(double.calls) == 1
        assert await pages(rest, after=1250) == ids(range(300, 500), range(251, 300))
        assert await pages(rest, after=5000) == []


async def test_rows_of_one_millisecond_on_both_sides_of_an_edge_all_come() -> None:
    async with calling(GroupBackend([1] * 150 + [2] * 150)) as (_, rest):
        found = await pages(rest)
        assert {name for page in found for name in page} == {f"g{n}" for n in range(300)}
        assert sum(len(page) for page in found) == 300


async def test_an_empty_group_history() -> None:
    async with calling(GroupBackend([])) as (_, rest):
        assert await pages(rest) == []


async def test_a_group_history_that_goes_round_in_circles() -> None:
    group = GroupBackend(list(range(10)))

    async def ignore_before(_: web.Request) -> web.StreamResponse:
        return web.json_response(group.rows)

    async with calling(ignore_before) as (double, rest):
        with pytest.raises(exceptions.BackendError, match="does not come to an end"):
            await pages(rest)
        assert len(double.calls) < 5


async def test_a_page_too_large_is_asked_for_in_smaller_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rest_client, "MAX_PAGE_BYTES", 10_000)
    group = GroupBackend(list(range(100)))
    for one in group.rows:
        one["imageData"] = "x" * 500
    async with calling(group) as (_, rest):
        page = await rest.group_history("g", limit=100)
        assert [row.id for row in page] == [f"g{n}" for n in range(88, 100)]
        assert sum(len(page) for page in await pages(rest)) == 100


# ---------------------------------------------------------------- discretion


async def test_no_secret_is_logged_or_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="chatbot")
    caplog.set_level(logging.DEBUG, logger="aiohttp")
    async with calling(say(500, {"error": "no"})) as (_, rest):
        with pytest.raises(exceptions.BackendError) as caught:
            await rest.login("me", "my-password")
        with pytest.raises(exceptions.BackendError):
            await rest.prekey_status()
        shown = f"{caplog.text} {caught.value} {rest!r} {caught.value.__traceback__!r}"
        assert "my-password" not in shown
        assert "some-token" not in shown
