"""Moderation on a backend that believes whatever a socket claims, and killed in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from doubles.bot_process import BotProcess
from doubles.clients import CHEAP
from doubles.raw_client import raw_backend
from doubles.stage import Stage

from chatbot.client.options import ClientOptions
from chatbot.runtime.access import Appointments
from chatbot.testing import ChatGroup, ChatWorld, Person

DISTRUST = ClientOptions(argon2=CHEAP, trusted_server=False)
STEPS = [{"points": 2, "action": "kick"}, {"points": 4, "action": "ban", "lasts": "1h"}]
CONFIG: dict[str, Any] = {"words": ["casino"], "steps": STEPS}


async def begin(world: ChatWorld, **options: Any) -> tuple[ChatGroup, Person, Person]:
    """A group of alice's with bob, on a backend that is not believed."""
    sections = {"moderation": CONFIG}
    await world.start_bot(["moderation"], sections=sections, client=DISTRUST, **options)
    alice, bob = await world.person("alice"), await world.person("bob")
    group = await alice.starts_group("Dev Team", bob)
    await alice.client.set_group_role(group.id, world.bot.user.id, "admin")
    return group, alice, bob


async def members(alice: Person, group: ChatGroup) -> set[str]:
    return {member.username for member in await alice.client.get_group_members(group.id)}


async def breaks_the_rules(group: ChatGroup, alice: Person, bob: Person, times: int) -> None:
    """Bob says it so often; alice hears what comes of it and answers to nothing."""
    await group.writes(bob, "casino")
    for _ in range(times - 1):
        await group.writes(bob, "casino")
    while True:
        if (await group.says(alice, "/rules")).startswith("This group has no rules"):
            return


async def test_what_a_filter_wants_is_proposed_and_done_once_approved(
    chat_world: ChatWorld,
) -> None:
    group, alice, bob = await begin(chat_world)
    await breaks_the_rules(group, alice, bob, 2)
    proposal = await alice.hears()
    assert proposal.startswith("Remove @bob from Dev Team? (2 points")
    assert proposal.endswith("/approve 3 or /reject 3")
    assert await members(alice, group) == {"alice", "bob", "bot"}
    await chat_world.restart_bot()
    assert "no proposal 3" in await bob.says("/approve 3")
    assert await alice.says("/approve 3") == "@bob is removed (case 3)."
    assert await members(alice, group) == {"alice", "bot"}
    assert await alice.says("/approve 3") == "Case 3 was decided before."
    assert "no proposal 9" in await alice.says("/reject 9")


async def test_a_proposal_is_rejected_and_a_harder_one_comes_at_once(
    chat_world: ChatWorld,
) -> None:
    group, alice, bob = await begin(chat_world)
    await breaks_the_rules(group, alice, bob, 2)
    await alice.hears()
    await breaks_the_rules(group, alice, bob, 2)
    assert (await alice.hears()).startswith("Ban @bob for 1h from Dev Team? (4 points")
    assert await alice.says("/reject 3") == "Case 3 is dropped."
    assert await members(alice, group) == {"alice", "bob", "bot"}


async def test_a_moderators_command_is_confirmed_in_the_encrypted_chat(
    chat_world: ChatWorld,
) -> None:
    group, alice, bob = await begin(chat_world)
    await group.writes(alice, "/kick @bob")
    question = await alice.hears()
    assert question.startswith('Did you write "/kick @bob" in Dev Team?')
    assert await members(alice, group) == {"alice", "bob", "bot"}
    heard = group._listen(alice)
    await alice.writes(f"/yes {question.partition('/yes ')[2][:4]}")
    assert (await heard.get()).content == "@bob is removed (case 1)."
    assert await members(alice, group) == {"alice", "bot"}
    await bob.hears_nothing()


async def test_a_configuration_may_trust_groups(chat_world: ChatWorld) -> None:
    group, alice, bob = await begin(chat_world, appointments=Appointments(trust_groups=True))
    await breaks_the_rules(group, alice, bob, 2)
    assert await members(alice, group) == {"alice", "bot"}


# ---------------------------------------------------------------- forged


@pytest.fixture
async def credulous(tmp_path: Path) -> AsyncIterator[ChatWorld]:
    """A backend that believes whatever user id a socket claims."""
    world = ChatWorld(tmp_path)
    world.server.browser_compat = True
    async with world:
        yield world


async def forge(world: ChatWorld, victim: Person, group: ChatGroup, *texts: str) -> None:
    """Write in somebody's name, who goes offline, on a socket that has proved nothing."""
    user = victim.id
    await victim.leaves()
    async with raw_backend(world.server.url) as backend, backend.socket() as socket:
        await socket.send("auth", userId=user, username=victim.name)
        await socket.next("online")
        for text in texts:
            await socket.send("group_message", groupId=group.id, content=text, messageType="text")
            assert (await socket.next("group_message"))["from_user"] == user


async def test_a_forged_command_does_nothing(credulous: ChatWorld) -> None:
    group, alice, bob = await begin(credulous)
    await forge(credulous, alice, group, "/kick @bob", "/moderation switch words off", "/lock")
    assert (await group.says(bob, "/rules")).startswith("This group has no rules")
    await alice.returns()
    for command in ("/kick @bob", "/moderation switch words off", "/lock"):
        question = await alice.hears()
        assert question.startswith(f'Did you write "{command}" in Dev Team?')
        await alice.writes(f"/no {question.partition('/yes ')[2][:4]}")
    await alice.hears_nothing()
    assert await members(alice, group) == {"alice", "bob", "bot"}
    assert (await alice.client.get_group(group.id)).settings.message_permission == "everyone"
    assert (await group.says(bob, "casino")).startswith("@bob: a word that is not said here.")


async def test_forged_offences_put_nobody_out(credulous: ChatWorld) -> None:
    group, alice, bob = await begin(credulous)
    await forge(credulous, bob, group, *["casino"] * 5)
    assert (await alice.hears()).startswith("Remove @bob from Dev Team?")
    assert (await alice.hears()).startswith("Ban @bob for 1h from Dev Team?")
    await alice.hears_nothing()
    assert await members(alice, group) == {"alice", "bob", "bot"}


# ---------------------------------------------------------------- killed

CRASHING = """
import signal
from pathlib import Path

@plugin.middleware("outbound")
async def die(out, call_next):
    marker = Path(__file__).with_name("died")
    if out.plugin == "moderation" and "case" in out.reply.text and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return await call_next(out)
"""


@pytest.mark.parametrize(
    ("deed", "answer"),
    [
        ("/kick @bob", "@bob is removed (case 1)."),
        ("/ban @bob 2h loud", "@bob is banned for 2h (case 1)."),
        ("/warn @bob", "@bob is warned. (1 point, case 1)\n@bob is removed (case 2)."),
    ],
)
async def test_killed_between_deed_and_answer(tmp_path: Path, deed: str, answer: str) -> None:
    async with Stage(tmp_path) as stage:
        stage.write("crashing", CRASHING)
        process = BotProcess(
            server_url=stage.server.url,
            storage_path=stage.folder / "bot",
            base=stage.folder,
            plugins=["moderation", "./crashing.py"],
            sections={"moderation": {"steps": [{"points": 1, "action": "kick"}]}},
        )
        await process.start()
        try:
            await sees_it_once(stage, process, deed, answer)
        finally:
            process.kill()


async def sees_it_once(stage: Stage, process: BotProcess, deed: str, answer: str) -> None:
    """It is done once, logged once and said once."""
    alice, bob = await stage.person("alice"), await stage.person("bob")
    group = await alice.starts_group("Dev Team", bob)
    bot = await alice.client.find_user("bot")
    assert bot is not None
    await alice.client.set_group_role(group.id, bot.id, "admin")
    heard = group._listen(alice)
    await group.writes(alice, deed)
    await process.died()
    assert await members(alice, group) == {"alice", "bot"}
    await process.start()
    async with asyncio.timeout(20):
        assert (await heard.get()).content == answer
    log = (await group.says(alice, "/cases @bob")).splitlines()
    assert len(log) == 1 + answer.count("case ")
