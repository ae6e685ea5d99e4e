"""Who may do what, over real chats: owners, proofs, confirmations, and the permission list."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from doubles.clients import CHEAP
from doubles.stage import Stage

from chatbot.client.client import WhatsAppClient
from chatbot.client.options import ClientOptions
from chatbot.runtime.access import Appointments
from chatbot.testing.world import ChatGroup, Person
from chatbot.wire import SendFrame

COMMANDS = """
    @plugin.command(role="owner")
    async def secret() -> str:
        return "for owners"

    @plugin.command(role="moderator", chats="group")
    async def warn(ctx: Context, user: Member) -> str:
        return f"{user} was warned by {ctx.user.username}, {ctx.role.name}"

    @plugin.command()
    async def open() -> str:
        return "for all"

    @plugin.command(verified=True)
    async def vault() -> str:
        return "for the verified"
"""

DISTRUST = ClientOptions(argon2=CHEAP, trusted_server=False)


async def play(stage: Stage, **options: Any) -> tuple[Person, Person]:
    await stage.play(COMMANDS, **options)
    return await stage.person("alice"), await stage.person("bob")


async def test_an_owner_by_name_is_pinned_when_first_met(stage: Stage) -> None:
    alice, bob = await play(stage, owners=["alice"])
    assert await bob.says("/secret") == "Not done: it takes the role owner, not member."
    assert await alice.says("/secret") == "for owners"
    await stage.restart_bot()
    assert await alice.says("/secret") == "for owners"
    assert pinned_names(stage) == [("alice", alice.id)]


async def test_an_owner_by_id_and_by_fingerprint(stage: Stage) -> None:
    alice, bob = await play(stage)
    await stage.bot.stop()
    owners = Appointments(owners=[alice.id], admins=[bob.client.get_fingerprint().lower()])
    await stage.start_bot(["./play.py"], base=stage.folder, appointments=owners)
    assert await alice.says("/secret") == "for owners"
    assert await bob.says("/secret") == "Not done: it takes the role owner, not admin."


async def test_nobody_becomes_an_owner_by_taking_an_owners_id_for_a_name(stage: Stage) -> None:
    owner = "8a5d3c1e-0000-4000-8000-000000000000"
    await stage.play(COMMANDS, owners=[owner])
    mallory = await stage.person(owner)
    assert (await mallory.says("/secret")).startswith("Not done")


async def test_a_role_needs_an_encrypted_message(stage: Stage) -> None:
    alice, _ = await play(stage, owners=["alice"])
    assert await alice.says("/secret") == "for owners"
    forged = SendFrame(to=stage.bot.user.id, content="/secret", encrypted=False)
    alice.client._account.socket.send_nowait("message", forged)
    assert await alice.hears() == "Not done: the message is not encrypted."


async def test_a_changed_identity_has_no_role_until_it_is_trusted(stage: Stage) -> None:
    alice, _ = await play(stage, owners=["alice"])
    assert await alice.says("/secret") == "for owners"
    await alice.client.logout()
    stage.clock.advance(60_000)  # the latest answers are sent again to who starts afresh
    async with WhatsAppClient(
        stage.server.url,
        stage.folder / "another disk",
        options=ClientOptions(argon2=CHEAP),
        clock=stage.clock,
    ) as client:
        await client.login("alice", "a password for tests")
        again = Person("alice", client, "bot")
        assert (await again.says("/secret")).startswith("Not done: it takes the role owner")
        assert await again.says("/open") == "for all"
        await stage.bot.trust("alice")
        assert await again.says("/secret") == "for owners"


async def test_verified_means_compared(stage: Stage) -> None:
    alice, _ = await play(stage)
    assert await alice.says("/vault") == "Not done: the sender's fingerprint was not verified."
    assert await stage.bot.verify("alice", alice.client.get_fingerprint())
    assert await alice.says("/vault") == "for the verified"
    await stage.bot.verify("alice", alice.client.get_fingerprint(), verified=False)
    assert (await alice.says("/vault")).startswith("Not done")


# ---------------------------------------------------------------- groups


async def make_admin(group: ChatGroup, founder: Person, who: Person) -> None:
    await founder.client._account.rest.set_group_role(group.id, who.id, "admin")


async def test_roles_of_a_group_count_where_the_backend_is_believed(stage: Stage) -> None:
    alice, bob = await play(stage)
    group = await alice.starts_group("Dev Team", bob)
    assert await group.says(alice, "/warn @bob") == "@bob was warned by alice, ADMIN"
    await group.writes(bob, "/warn @alice")
    refusal = "Not done: it takes the role moderator, not member."
    assert await group.says(alice, "/open") == refusal
    assert (await group._listen(alice).get()).content == "for all"
    await make_admin(group, alice, bob)
    stage.clock.advance(60_000)  # roles are remembered for a while
    await group.writes(bob, "/warn @alice")
    warned = await group._listen(alice).get()
    assert warned.content == "@alice was warned by bob, MODERATOR"


async def test_owner_commands_never_run_in_groups(stage: Stage) -> None:
    alice, bob = await play(stage, owners=["alice"])
    await alice.says("/open")
    group = await alice.starts_group("Dev Team", bob)
    answer = await group.says(alice, "/secret")
    assert answer == "Not done: commands for owners never run in groups."


async def test_a_privileged_group_command_is_confirmed_one_to_one(stage: Stage) -> None:
    alice, bob = await play(stage, client=DISTRUST)
    group = await alice.starts_group("Dev Team", bob)
    await group.writes(alice, "/warn @bob")
    question = await alice.hears()
    assert question.startswith('Did you write "/warn @bob" in Dev Team? /yes ')
    code = question.partition("/yes ")[2][:4]
    assert await bob.says(f"/yes {code}") == "Nothing waits for that word."
    listening = group._listen(bob)
    await alice.writes(f"/yes {code}")
    assert (await listening.get()).content == "@bob was warned by alice, ADMIN"
    assert await alice.says(f"/yes {code}") == "Nothing waits for that word."


async def test_what_is_not_confirmed_is_not_done(stage: Stage) -> None:
    alice, bob = await play(stage, client=DISTRUST)
    group = await alice.starts_group("Dev Team", bob)
    await group.writes(alice, "/warn @bob")
    code = (await alice.hears()).partition("/no ")[2][:4]
    await alice.writes(f"/no {code}")
    assert await group.says(alice, "/open") == "for all"
    await group.writes(alice, "/warn @bob")
    await alice.hears()
    stage.clock.advance(5 * 60_000)
    assert await group.says(bob, "/open") == "for all"


async def test_a_confirmation_survives_a_restart(stage: Stage) -> None:
    alice, bob = await play(stage, client=DISTRUST)
    group = await alice.starts_group("Dev Team", bob)
    listening = group._listen(bob)
    await group.writes(alice, "/warn @bob")
    code = (await alice.hears()).partition("/yes ")[2][:4]
    await stage.bot.stop()
    await alice.writes(f"/yes {code}")
    await stage.restart_bot()
    assert (await listening.get()).content == "@bob was warned by alice, ADMIN"


async def test_whoever_forges_many_commands_asks_the_real_one_a_few_times(stage: Stage) -> None:
    alice, bob = await play(stage, client=DISTRUST)
    group = await alice.starts_group("Dev Team", bob)
    for _ in range(8):
        await group.writes(alice, "/warn @bob")
    assert await group.says(alice, "/open") == "for all"
    heard = [await alice.hears() for _ in range(5)]
    assert all(text.startswith("Did you write") for text in heard)
    await alice.hears_nothing()


async def test_a_configuration_may_trust_groups(stage: Stage) -> None:
    trusting = Appointments(trust_groups=True)
    alice, bob = await play(stage, client=DISTRUST, appointments=trusting)
    group = await alice.starts_group("Dev Team", bob)
    assert await group.says(alice, "/warn @bob") == "@bob was warned by alice, ADMIN"


# ---------------------------------------------------------------- edits at run time


async def test_grants_and_denials_are_edited_in_the_chat_and_stay(stage: Stage) -> None:
    alice, bob = await play(stage, owners=["alice"])
    assert await alice.says("/permissions allow play.secret @bob") == "Done."
    assert await alice.says("/permissions allow play.secret @bob") == (
        "That is in the list already."
    )
    assert await alice.says("/permissions deny play.open") == "Done."
    await stage.restart_bot()
    assert await bob.says("/secret") == "for owners"
    assert await bob.says("/open") == "Not done: the permission list denies play.open here."
    assert await alice.says("/open") == "Not done: the permission list denies play.open here."
    assert await alice.says("/permissions") == (
        "@alice: owner\nallow play.secret to @bob\ndeny play.open to everybody"
    )
    assert await alice.says("/permissions forget play.open") == "Done."
    assert await bob.says("/open") == "for all"


async def test_roles_are_given_in_the_chat_and_stay(stage: Stage) -> None:
    alice, bob = await play(stage, owners=["alice"])
    assert await alice.says("/permissions role @bob admin") == "bob is admin now."
    await stage.restart_bot()
    assert await bob.says("/secret") == "Not done: it takes the role owner, not admin."
    assert (await alice.says("/permissions role @alice member")).startswith(
        "only the configuration says who is an owner"
    )
    assert await alice.says("/permissions role @bob member") == "bob is member now."
    assert await bob.says("/secret") == "Not done: it takes the role owner, not member."


async def test_why_explains_and_the_audit_log_remembers(stage: Stage) -> None:
    alice, bob = await play(stage, owners=["alice"], timezone=ZoneInfo("Asia/Kathmandu"))
    refused = await bob.writes("/secret")
    await bob.hears()
    assert await alice.says("/secret") == "for owners"
    reasons = (await alice.says(f"/why {refused.id}")).splitlines()
    assert "deny: it takes the role owner, not member (role)" in reasons
    assert reasons[-1] == "outcome: deny"
    assert (await alice.says("/why")).splitlines()[-1] == "outcome: allow"
    uses = [row for row in audit(stage) if row[1] == "play.secret"]
    assert uses == [(bob.id, "play.secret", "deny"), (alice.id, "play.secret", "allow")]
    group = await alice.starts_group("Dev Team", bob)
    await group.says(bob, "/warn @alice")
    await stage.restart_bot()
    shown = [line.split(" ", 2)[2] for line in (await alice.says("/audit 50")).splitlines()]
    assert shown[0].startswith("@alice admin.audit: allow")
    assert "+05:45 " in await alice.says("/audit 1")
    assert "@bob play.secret: deny (it takes the role owner, not member)" in shown
    assert "@bob in Dev Team play.warn: deny (it takes the role moderator, not member)" in shown


@pytest.mark.parametrize("command", ["/status", "/plugins", "/permissions", "/why", "/audit"])
async def test_administration_is_for_owners(stage: Stage, command: str) -> None:
    alice, bob = await play(stage, owners=["alice"])
    assert (await bob.says(command)).startswith("Not done")
    assert not (await alice.says(command)).startswith("Not done")
    assert command not in await bob.says("/help")
    assert command in await alice.says("/help")


def pinned_names(stage: Stage) -> list[tuple[str, str]]:
    return rows(stage, "SELECT name, user_id FROM pinned_names")


def audit(stage: Stage) -> list[tuple[str, ...]]:
    return rows(stage, "SELECT user_id, permission, outcome FROM audit ORDER BY seq")


def rows(stage: Stage, query: str) -> list[Any]:
    file = stage.folder / "world" / "bot" / stage.bot.user.id / "messages.db"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


async def test_the_role_in_the_group_counts_wherever_it_is_asked_for(stage: Stage) -> None:
    await stage.play("""
        @plugin.command("me")
        async def me(ctx: Context) -> str:
            return ctx.role.name

        @plugin.command("tidy", role="moderator")
        async def tidy() -> str:
            return "tidied"

        @plugin.filter(filters.text(equals="boss") & filters.role("moderator"))
        async def boss() -> str:
            return "yes, boss"
    """)
    alice = await stage.person("alice")
    group = await alice.starts_group("Team")
    assert await group.says(alice, "boss") == "yes, boss"
    assert await group.says(alice, "/me") == "ADMIN"
    assert "/tidy" in await group.says(alice, "/help")
