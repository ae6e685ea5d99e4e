"""Broadcasts over the real pipeline: who gets them, how fast, and what is said of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from doubles.reports import report

from chatbot.testing import ChatWorld, Person

QUICK = "1000/1s"


async def start(world: ChatWorld, **section: Any) -> Person:
    """Start the bot; its owner."""
    section = {"rate": QUICK} | section
    await world.start_bot(["broadcast"], owners=["alice"], sections={"broadcast": section})
    return await world.person("alice")


async def people(world: ChatWorld, *names: str) -> list[Person]:
    return [await world.person(name) for name in names]


async def test_everybody_in_the_audience_gets_it_once(chat_world: ChatWorld) -> None:
    alice = await start(chat_world, audiences={"team": ["bob", "@carol", "nobody-there"]})
    bob, carol = await people(chat_world, "bob", "carol")
    begun = await alice.says("/announce now team Stand-up in  10 minutes")
    assert begun == "Broadcast 1 has begun. /broadcast report 1 says how it goes."
    assert await bob.hears() == await carol.hears() == "Stand-up in  10 minutes"
    told = await report(alice, 1, "done", "2 of 3 sent, 2 delivered")
    assert told.endswith("failed:\nnobody-there: there is no such user")
    assert "1 to team, done: 2 of 3 sent" in await alice.says("/broadcast")
    for person in (alice, bob, carol):
        await person.hears_nothing()


async def test_what_was_read_is_reported(chat_world: ChatWorld) -> None:
    alice = await start(chat_world, audiences={"team": ["bob"]})
    (bob,) = await people(chat_world, "bob")
    await alice.says("/announce now team news")
    message = await bob.receives()
    await bob.client.mark_as_read(message.from_user, [message.id])
    await report(alice, 1, "1 of 1 sent, 1 delivered, 1 read")


async def test_whoever_is_offline_gets_it_on_return(chat_world: ChatWorld) -> None:
    alice = await start(chat_world, audiences={"team": ["bob", "carol"]})
    bob, carol = await people(chat_world, "bob", "carol")
    await carol.leaves()
    await alice.says("/announce now team news")
    assert await bob.hears() == "news"
    await report(alice, 1, "done: 2 of 2 sent, 1 delivered", "1 get it when they come online")
    await chat_world.restart_bot()
    await carol.returns()
    assert await carol.hears() == "news"
    await carol.hears_nothing()
    await report(alice, 1, "2 delivered")


async def test_whoever_stays_away_for_too_long_has_failed(chat_world: ChatWorld) -> None:
    alice = await start(chat_world, audiences={"team": ["bob"]})
    (bob,) = await people(chat_world, "bob")
    await bob.leaves()
    await alice.says("/announce now team news")
    await report(alice, 1, "1 get it when they come online")
    chat_world.advance(timedelta(days=8))
    await chat_world.restart_bot()
    await report(alice, 1, "0 of 1 sent", "1 failed", "@bob: it could not be delivered in time")


async def test_members_of_a_group_get_it_one_by_one(chat_world: ChatWorld) -> None:
    alice = await start(chat_world, audiences={"devs": ["group:Dev Team", "dora"]})
    bob, carol, dora = await people(chat_world, "bob", "carol", "dora")
    await bob.starts_group("Dev Team", carol)
    await alice.says('/announce now "group:Dev Team" news')
    for person in (bob, carol):
        message = await person.receives()
        assert (message.content, message.is_encrypted) == ("news", True)
    await alice.says("/announce now devs more news")
    assert {await person.hears() for person in (bob, carol, dora)} == {"more news"}
    assert "I am in no group" in await alice.says("/announce now group:Ops news")
    await bob.starts_group("Dev Team", carol)
    assert "in several groups" in await alice.says('/announce now "group:Dev Team" news')
    await alice.says("/announce now devs too late")
    await report(alice, 3, "failed", "I am in several groups")


async def test_subscribers_come_and_go(chat_world: ChatWorld) -> None:
    alice = await start(chat_world, open=["news"])
    bob, carol = await people(chat_world, "bob", "carol")
    for person in (bob, carol):
        told = await person.says("/subscribe")
        assert told == "You get what is announced to news. /unsubscribe news ends that."
    await carol.says("/unsubscribe news")
    await alice.says("/announce now news one")
    assert await bob.hears() == "one"
    await carol.hears_nothing()
    assert "expected news" in await bob.says("/subscribe team")
    assert await alice.says("/audience") == "news: 1, open to all"


async def test_nobody_subscribes_somebody_else_in_a_group(chat_world: ChatWorld) -> None:
    alice = await start(chat_world)
    (bob,) = await people(chat_world, "bob")
    group = await bob.starts_group("Dev Team", alice)
    assert "1:1" in await group.says(bob, "/subscribe")
    assert "1:1" in await group.says(bob, "/announce now subscribers news")


async def test_only_admins_announce(chat_world: ChatWorld) -> None:
    alice = await start(chat_world, audiences={"team": ["alice"]})
    (bob,) = await people(chat_world, "bob")
    for command in ("/announce now team news", "/broadcast", "/audience", "/announcements"):
        assert "admin" in await bob.says(command)
    await alice.says("/permissions role bob admin")
    assert "has begun" in await bob.says("/announce now team news")
    assert await alice.hears() == "news"


async def test_audiences_are_edited(chat_world: ChatWorld) -> None:
    alice = await start(chat_world, audiences={"team": ["bob"]})
    bob, carol = await people(chat_world, "bob", "carol")
    assert await alice.says("/audience remove team @bob") == "team has 0 people now."
    assert await alice.says("/audience add TEAM carol alice") == "team has 2 people now."
    assert await alice.says("/audience create guests") == (
        "There is an audience guests now, with nobody in it."
    )
    assert "already" in await alice.says("/audience create team")
    assert "up to 32 letters" in await alice.says('/audience create "my guests"')
    await alice.says("/audience add guests bob")
    await chat_world.restart_bot()
    assert sorted((await alice.says("/audience show team")).split()) == ["@alice", "@carol"]
    assert await alice.says("/audience show guests") == "@bob"
    assert (await alice.says("/audience")).splitlines() == [
        "guests: 1",
        "subscribers: 0, open to all",
        "team: 2",
    ]
    assert "up to the group" in await alice.says("/audience add group:x bob")
    await alice.says("/announce now team news")
    assert await carol.hears() == await alice.hears() == "news"
    await bob.hears_nothing()


async def test_no_faster_than_the_rate(chat_world: ChatWorld) -> None:
    alice = await start(chat_world, audiences={"team": ["bob", "carol", "dora"]}, rate="2/1h")
    everybody = await people(chat_world, "bob", "carol", "dora")
    await alice.says("/announce now team one")
    await report(alice, 1, "running: 2 of 3 sent", "1 not written to")
    await alice.says("/announce now team two")
    chat_world.advance(timedelta(hours=1))
    await report(alice, 1, "done: 3 of 3 sent")
    await report(alice, 2, "running: 1 of 3 sent")
    chat_world.advance(timedelta(hours=1))
    await report(alice, 2, "done: 3 of 3 sent")
    for person in everybody:
        assert [await person.hears(), await person.hears()] == ["one", "two"]
        await person.hears_nothing()


async def test_paused_resumed_and_cancelled(chat_world: ChatWorld) -> None:
    alice = await start(chat_world, audiences={"team": ["bob", "carol", "dora"]}, rate="1/1h")
    await people(chat_world, "bob", "carol", "dora")
    await alice.says("/announce now team news")
    await report(alice, 1, "running: 1 of 3 sent")
    assert await alice.says("/broadcast pause 1") == "Broadcast 1 is paused."
    chat_world.advance(timedelta(hours=1))
    await chat_world.restart_bot()
    await report(alice, 1, "paused: 1 of 3 sent", "2 not written to")
    assert await alice.says("/broadcast resume 1") == "Broadcast 1 goes on."
    await report(alice, 1, "running: 2 of 3 sent")
    assert await alice.says("/broadcast cancel 1") == "Broadcast 1 is cancelled."
    chat_world.advance(timedelta(hours=1))
    await report(alice, 1, "cancelled: 2 of 3 sent", "1 not written to")
    for command in ("pause", "resume", "cancel"):
        assert "broadcast 1 is cancelled" in await alice.says(f"/broadcast {command} 1")
        assert "no broadcast 7" in await alice.says(f"/broadcast {command} 7")


async def test_it_goes_on_when_the_plugin_is_back(chat_world: ChatWorld) -> None:
    alice = await start(chat_world, audiences={"team": ["bob", "carol"]}, rate="1/1h")
    bob, carol = await people(chat_world, "bob", "carol")
    await alice.says("/announce now team news")
    await report(alice, 1, "running: 1 of 2 sent")
    assert await alice.says("/plugins reload broadcast") == "broadcast is the new one now."
    await report(alice, 1, "running: 1 of 2 sent")
    assert await alice.says("/plugins disable broadcast") == "broadcast is off now."
    chat_world.advance(timedelta(hours=1))
    await alice.hears_nothing()
    assert await alice.says("/plugins enable broadcast") == "broadcast is in use now."
    await report(alice, 1, "done: 2 of 2 sent")
    for person in (bob, carol):
        assert await person.hears() == "news"
        await person.hears_nothing()


async def test_old_broadcasts_are_forgotten(chat_world: ChatWorld) -> None:
    alice = await start(chat_world, audiences={"team": ["bob"]}, keep=2)
    (bob,) = await people(chat_world, "bob")
    for number in (1, 2, 3):
        await alice.says(f"/announce now team {number}")
        assert await bob.hears() == str(number)
        await report(alice, number, "done")
    assert "no broadcast 1" in await alice.says("/broadcast report 1")
    assert len((await alice.says("/broadcast")).splitlines()) == 2


BAD_INPUT = (
    ("now nobody text", 'there is no audience "nobody"; audiences are: subscribers, team'),
    ("soon team text", 'when: expected now, 10m, 18:30, "tomorrow 9:00"'),
    ('"99 * * * *" team text', "cron='99 * * * *'"),
    ('"a b c d e" team text', "cron='a b c d e'"),
    ('"0 9 * * mon team text', "quot"),
    ('"2020-01-01 9:00" team text', "never comes, or has passed"),
    ("now team", "text: expected text\ngot: nothing"),
    ("now", "audience: expected text"),
    ("now team " + "x" * 60_000, "too long"),
    ("now team \u202etext", "U+202E"),
)


async def test_bad_input_gets_a_usage_answer(chat_world: ChatWorld) -> None:
    alice = await start(chat_world, audiences={"team": ["alice"]})
    for typed, answer in BAD_INPUT:
        assert answer in await alice.says(f"/announce {typed}")
    assert await alice.says("/broadcast") == "Nothing was broadcast yet."
    assert await alice.says("/announcements") == "Nothing is scheduled."
