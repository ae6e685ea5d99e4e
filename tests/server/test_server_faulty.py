"""The double has the faults it says it has, and each alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import websockets
from doubles.faulty_backend import Faults, FaultyServer
from doubles.raw_client import Person, RawBackend, raw_backend


@asynccontextmanager
async def faulty(path: Path, **faults: bool) -> AsyncIterator[tuple[FaultyServer, RawBackend]]:
    async with (
        FaultyServer(path, faults=Faults(**faults)) as server,
        raw_backend(server.url) as backend,
    ):
        yield server, backend


def test_the_real_one_has_all_of_them_but_the_occasional() -> None:
    real = Faults.real()

    assert real.deaf_second_login
    assert real.unchecked_ids
    assert not real.lost_pushes


@pytest.mark.parametrize("deaf", [True, False])
async def test_the_second_login_is_deaf(database_path: Path, deaf: bool) -> None:
    async with faulty(database_path, deaf_second_login=deaf) as (_, backend):
        alice, bob = await backend.register("alice"), await backend.register("bob")
        async with bob.online() as talking, alice.online() as first, alice.online() as second:
            await first.until_closed()
            await talking.pending()
            await talking.send("message", to=alice.id, content="hello?", messageType="text")
            echo = await talking.next("message")
            await second.send("message", to=bob.id, content="I can talk", messageType="text")

            assert echo["status"] == ("sent" if deaf else "delivered")
            assert (await talking.next("message"))["content"] == "I can talk"


async def test_a_close_handshake_is_not_answered(database_path: Path) -> None:
    async with (
        faulty(database_path, unanswered_close=True) as (_, backend),
        AsyncExitStack() as stack,
    ):
        alice, bob = await backend.register("alice"), await backend.register("bob")
        watching = await stack.enter_async_context(bob.online())
        socket = await websockets.connect(
            f"ws{backend.url.removeprefix('http')}/ws",
            additional_headers=alice.bearer,
            close_timeout=0.2,
        )
        await socket.send(f'{{"type":"auth","payload":{{"userId":"{alice.id}","username":"a"}}}}')
        await socket.recv()
        await socket.close()

        assert socket.close_code == 1006
        await watching.next("online")
        assert (await watching.next("online"))["online"] is False
        watching.socket.transport.abort()


async def test_stopping_does_not_wait_for_unanswered_closes(database_path: Path) -> None:
    async with faulty(database_path, unanswered_close=True) as (server, backend):
        alice = await backend.register("alice")
        async with alice.online():
            async with asyncio.timeout(3):
                await server.stop()


async def test_user_ids_are_not_checked(database_path: Path) -> None:
    async with faulty(database_path, unchecked_ids=True) as (_, backend):
        alice, bob = await backend.register("alice"), await backend.register("bob")
        as_bob = {"Authorization": f"Bearer {bob.id}", "X-Auth-Token": alice.token}

        assert (await backend.call("GET", "/api/groups", headers=as_bob)).status == 200
        spied = f"/api/messages/{bob.id}?user={alice.id}"
        assert (await backend.call("GET", spied, headers=bob.bearer)).status == 200
        async with backend.socket(alice.bearer) as socket:
            assert socket.socket.response is not None
            assert "X-Authenticated-Sockets" not in socket.socket.response.headers
            await socket.send("auth", userId=bob.id, username="bob")
            assert (await socket.receive())[0] == "online"


async def groups_of(person: Person) -> list[str]:
    headers = {"Authorization": f"Bearer {person.id}", "X-Auth-Token": person.token}
    answer = await person.backend.call("GET", "/api/groups", headers=headers)
    return [group["name"] for group in answer.body]


@pytest.mark.parametrize("members", [["{bob}", "{bob}"], ["{bob}", "nobody"], ["{alice}"]])
async def test_a_failed_group_is_half_made(database_path: Path, members: list[str]) -> None:
    async with faulty(database_path, half_made_groups=True) as (_, backend):
        alice, bob = await backend.register("alice"), await backend.register("bob")
        ids = [member.format(alice=alice.id, bob=bob.id) for member in members]

        answer = await alice.call("POST", "/api/groups", {"name": "Team", "memberIds": ids})

        assert answer.status == 500
        assert await groups_of(alice) == ["Team"]


def keys(identity: str, *ids: int) -> dict[str, Any]:
    return {
        "identityKey": identity * 43 + "=",
        "signingKey": "A" * 43 + "=",
        "fingerprint": "F" * 60,
        "signedPrekey": None,
        "oneTimePrekeys": [{"keyId": number, "publicKey": "A" * 43 + "="} for number in ids],
    }


async def test_stale_prekeys_come_first(database_path: Path) -> None:
    async with faulty(database_path, stale_prekeys=True) as (_, backend):
        alice = await backend.register("alice")
        path = f"/api/users/{alice.id}/prekeys"
        for identity, number in (("A", 5), ("Q", 3)):
            await alice.call("POST", "/api/users/prekeys", keys(identity, number))
        stale = await alice.get(path)
        await alice.call("POST", "/api/users/prekeys", keys("Q", 5))
        handed_out = [(await alice.get(path))["oneTimePrekey"]["keyId"] for _ in range(2)]

        assert stale["identityKey"].startswith("Q")
        assert stale["oneTimePrekey"]["keyId"] == 5
        assert sorted(handed_out) == [3, 5]


@pytest.mark.parametrize("lost", [True, False])
async def test_pushes_are_lost(database_path: Path, lost: bool) -> None:
    async with faulty(database_path) as (server, backend):
        alice, bob = await backend.register("alice"), await backend.register("bob")
        async with bob.online() as recipient, alice.online() as sender:
            server.faults.lost_pushes = lost
            await sender.send("message", to=bob.id, content="hello", messageType="text")
            echo = await sender.next("message")
            arrived = [kind for kind, _ in await recipient.pending() if kind == "message"]

        assert echo["status"] == "delivered"
        assert arrived == ([] if lost else ["message"])
        assert len(await bob.get(f"/api/messages/{alice.id}")) == 1


@pytest.mark.parametrize("unstored", [True, False])
async def test_large_messages_are_not_stored(database_path: Path, unstored: bool) -> None:
    async with faulty(database_path, unstored_large=unstored) as (_, backend):
        alice, bob = await backend.register("alice"), await backend.register("bob")
        async with bob.online() as recipient, alice.online() as sender:
            text = "x" * 2_000_001
            await sender.send("message", to=bob.id, content=text, messageType="text")
            assert (await recipient.next("message"))["content"] == text
            assert (await sender.next("message"))["status"] == "delivered"

        assert len(await bob.get(f"/api/messages/{alice.id}")) == (0 if unstored else 1)


@pytest.mark.parametrize(("count", "status"), [(98, 200), (99, 500)])
async def test_status_batches_are_small(database_path: Path, count: int, status: int) -> None:
    async with faulty(database_path, small_batches=True) as (_, backend):
        alice = await backend.register("alice")
        body = {"messageIds": ["m"] * count, "status": "read"}

        assert (await alice.call("PUT", "/api/messages/status", body)).status == status


@pytest.mark.parametrize("bare", [True, False])
async def test_nothing_is_there_but_what_the_protocol_names(
    database_path: Path, bare: bool
) -> None:
    async with faulty(database_path, bare_protocol=bare) as (server, backend):
        alice = await backend.register("alice")
        group = (await alice.call("POST", "/api/groups", {"name": "Team"})).body["id"]
        async with alice.online() as socket:
            await socket.send("group_message", groupId=group, content="hi", messageId="mine")
            posted = await socket.next("group_message")
        rows = await alice.get(f"/api/groups/{group}/messages?after={posted['timestamp']}")

        assert (posted["id"] == "mine") is not bare
        assert len(rows) == (2 if bare else 0)
        assert server.heard("group_message")[0]["messageId"] == "mine"


async def test_answers_fail_on_demand(database_path: Path) -> None:
    async with faulty(database_path) as (server, backend):
        server.fail_next(2, status=503, path="/api/users")
        answers = [(await backend.call("GET", "/api/users")).status for _ in range(3)]

        assert answers == [503, 503, 200]


async def test_it_hangs_on_demand(database_path: Path) -> None:
    async with faulty(database_path) as (server, backend):
        alice = await backend.register("alice")
        async with alice.online() as socket:
            server.hang()
            call = asyncio.create_task(backend.call("GET", "/api/users"))
            probe = asyncio.create_task(socket.pending())
            done, _ = await asyncio.wait((call, probe), timeout=0.05)
            assert not done
            server.release()
            assert (await call).status == 200
            assert await probe == []


async def test_sockets_are_dropped_on_demand(database_path: Path) -> None:
    async with faulty(database_path) as (server, backend):
        alice, bob = await backend.register("alice"), await backend.register("bob")
        async with alice.online() as first, bob.online() as second:
            assert server.drop_sockets(alice.id) == 1
            await first.until_closed()
            assert first.socket.close_code == 1006
            assert (await second.next("online"))["online"] is False
            assert server.drop_sockets() == 1
            await second.until_closed()
