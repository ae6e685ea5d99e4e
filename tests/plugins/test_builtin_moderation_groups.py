"""Moderation on a real bot with a real backend: what moderators do, and what it does by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from chatbot.client.models import Message
from chatbot.runtime.access import Appointments
from chatbot.testing import ChatGroup, ChatWorld, Person

PATIENCE = 20.0
ROUND = timedelta(seconds=31)
"""After it the bot has looked around once more."""


class Scene:
    """A group of alice's in which the bot is an admin, and bob and carol are plain members."""

    def __init__(self, world: ChatWorld, group: ChatGroup, *people: Person) -> None:
        self.world = world
        self.group = group
        self.alice, self.bob, self.carol = people
        self._heard = asyncio.Queue[str]()
        self.alice.client.on_group_message(self._take)

    def _take(self, message: Message) -> None:
        if message.from_user == self.world.bot.user.id:
            self._heard.put_nowait(message.content)

    async def hears(self) -> str:
        """What the bot says next in the group, whoever it answers: alice hears it all."""
        async with asyncio.timeout(PATIENCE):
            return await self._heard.get()

    async def says(self, text: str, person: Person | None = None) -> str:
        await self.writes(text, person)
        return await self.hears()

    async def writes(self, text: str, person: Person | None = None) -> None:
        """Write what the bot answers nothing to."""
        await self.group.writes(person or self.alice, text)

    async def members(self) -> set[str]:
        found = await self.alice.client.get_group_members(self.group.id)
        return {member.username for member in found}

    async def brings(self, person: Person) -> None:
        await self.alice.client.add_group_members(self.group.id, [person.id])


async def begin(world: ChatWorld, config: Mapping[str, Any] | None = None, **options: Any) -> Scene:
    await world.start_bot(["moderation"], sections={"moderation": config or {}}, **options)
    people = [await world.person(name) for name in ("alice", "bob", "carol")]
    group = await people[0].starts_group("Dev Team", *people[1:])
    await people[0].client.set_group_role(group.id, world.bot.user.id, "admin")
    return Scene(world, group, *people)


# ---------------------------------------------------------------- by hand


async def test_warnings_add_up_to_a_kick_and_then_to_a_ban(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world)
    assert await scene.says("/warn @bob spam") == "@bob is warned: spam (1 point, case 1)"
    assert await scene.says("/warn @bob") == "@bob is warned. (2 points, case 2)"
    third = await scene.says("/warn @bob again")
    assert third == "@bob is warned: again (3 points, case 3)\n@bob is removed (case 4)."
    assert "bob" not in await scene.members()
    await scene.brings(scene.bob)
    await scene.says("/warn @bob")
    assert "@bob is banned for 1w" in await scene.says("/warn @bob")
    assert "bob" not in await scene.members()
    listed = (await scene.says("/cases @bob")).splitlines()
    assert listed[0] == "@bob: 5 points, in the log:"
    assert len(listed) == 8
    assert listed[-1].endswith("ban: 5 points")


async def test_warnings_count_for_a_while(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world, {"points_last": "1d"})
    await scene.says("/warn @bob")
    chat_world.advance(timedelta(days=1, seconds=1))
    assert "(1 point, case 2)" in await scene.says("/warn @bob")


async def test_an_undone_warning_counts_no_more(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world)
    await scene.says("/warn @bob")
    assert await scene.says("/undo 1") == "Case 1 is undone."
    assert "(1 point, case 2)" in await scene.says("/warn @bob")
    assert "cannot be undone: warn 1 point (undone)" in await scene.says("/undo 1")


async def test_undoing_a_kick_takes_them_in_again(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world)
    assert await scene.says("/kick @bob rude") == "@bob is removed (case 1)."
    assert "bob" not in await scene.members()
    assert await scene.says("/undo 1") == "Case 1 is undone."
    assert "bob" in await scene.members()


async def test_nobody_is_put_out_who_is_not_in(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world)
    await chat_world.person("dave")
    await scene.says("/kick @bob")
    for name in ("bob", "dave"):
        assert (await scene.says(f"/kick @{name}")).startswith(f"@{name} is not in this group")
    assert await scene.says("/cases @dave") == "Nothing is logged about @dave."


async def test_undoing_what_came_before_a_ban_leaves_the_ban(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world)
    await scene.says("/kick @bob")
    await scene.says("/ban @bob")
    assert await scene.says("/undo 1") == "Case 1 is undone. case 2 still keeps them out"
    assert "bob" not in await scene.members()
    assert await scene.says("/undo 2") == "Case 2 is undone."
    assert "bob" in await scene.members()


async def test_whoever_is_banned_is_removed_again_until_it_ends(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world)
    assert await scene.says("/ban @bob 2h too loud") == "@bob is banned for 2h (case 1)."
    await scene.brings(scene.bob)
    await chat_world.restart_bot()
    await gone(scene, "bob")
    await scene.brings(scene.bob)
    await scene.writes("here I am", scene.bob)  # a message is enough
    await scene.says("/rules")
    assert "bob" not in await scene.members()
    chat_world.advance(timedelta(hours=2))
    await scene.brings(scene.bob)
    assert "no rules" in await scene.says("/rules", scene.bob)
    chat_world.advance(ROUND)
    assert "no rules" in await scene.says("/rules")
    assert "bob" in await scene.members()
    assert await scene.says("/unban @bob") == "@bob is not banned."


async def test_a_ban_for_good_ends_by_a_moderators_word(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world)
    assert await scene.says("/ban @bob too loud") == "@bob is banned (case 1)."
    assert await scene.says("/unban @bob") == "@bob may come back (case 2)."
    await scene.brings(scene.bob)
    assert "no rules" in await scene.says("/rules", scene.bob)
    assert "bob" in await scene.members()


async def test_moderators_are_immune(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world, appointments=Appointments(moderators=["carol"]))
    for deed in ("warn", "kick", "ban"):
        assert "is immune" in await scene.says(f"/{deed} @carol")
    await scene.alice.client.set_group_role(scene.group.id, scene.bob.id, "admin")
    assert "is immune" in await scene.says("/kick @bob")
    assert "is immune" in await scene.says("/ban @bot")
    assert await scene.members() == {"alice", "bob", "bot", "carol"}


async def test_plain_members_moderate_nobody(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world)
    for deed in ("/kick @carol", "/lock", "/cases @carol", "/moderation switch words off"):
        assert (await scene.says(deed, scene.bob)).startswith("Not done: it takes the role")
    assert "no rules" in await scene.says("/rules")
    assert "carol" in await scene.members()
    assert "Nothing is logged" in await scene.says("/cases @carol")


async def test_a_locked_group_is_for_admins(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world)
    assert await scene.says("/lock") == "Now only admins can write here."
    settings = (await scene.alice.client.get_group(scene.group.id)).settings
    assert settings.message_permission == "admins_only"
    assert await scene.says("/unlock") == "Now everybody can write here."
    assert "no rules" in await scene.says("/rules", scene.bob)


async def test_where_the_bot_is_no_admin_it_says_so(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world)
    await scene.alice.client.set_group_role(scene.group.id, chat_world.bot.user.id, "member")
    chat_world.advance(timedelta(minutes=2))
    assert "have to be an admin" in await scene.says("/lock")
    assert "could not be removed" in await scene.says("/kick @bob")
    assert (await scene.says("/moderation")).startswith("I am no admin here")


BAD_INPUT = (
    "/warn",
    "/warn @nobody",
    "/kick",
    "/ban",
    "/ban @nobody",
    "/ban @bob 2 hours",
    "/ban @bob 1s",
    "/ban @bob -1h",
    "/unban",
    "/undo",
    "/undo all",
    "/undo 7",
    "/undo 0",
    "/cases",
    "/slow",
    "/slow 30d",
    "/moderation switch",
    "/moderation switch music on",
    "/moderation switch words perhaps",
    "/moderation word add",
    "/moderation word add ...",
    "/moderation word remove nothing",
    "/moderation host add //",
    "/moderation host allow example.org",
    "/moderation welcome",
    "/moderation rules " + "x" * 2001,
    '/warn "@bob',
    "/warn \u202e@bob",
)


async def test_bad_input_gets_a_usage(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world)
    for text in BAD_INPUT:
        assert "usage: /" in await scene.says(text), text
        chat_world.advance(ROUND)  # nobody is that fast
    assert "Nothing is logged" in await scene.says("/cases @bob")


# ---------------------------------------------------------------- by itself


async def test_words_are_found_however_they_are_spelled(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world, {"words": ["casino"]})
    warned = "@bob: a word that is not said here. (1 point, case 1)"
    assert await scene.says("Come to my C\u00e1\u0455in0!", scene.bob) == warned
    assert "here: 1" in await scene.says("/moderation word add free money")
    assert "(2 points, case 2)" in await scene.says("FREE   m0ney", scene.bob)
    await scene.says("/moderation switch words off")
    await scene.writes("casino", scene.bob)
    assert "2 points" in await scene.says("/cases @bob")


async def test_links_lead_where_they_may(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world, {"hosts": ["example.org"]})
    await scene.says("/moderation switch links on")
    await scene.writes("https://docs.example.org/x", scene.bob)
    assert "a link to evil.example" in await scene.says("http://evil.example", scene.bob)
    assert "here: 2" not in await scene.says("/moderation host add evil.example")
    await scene.writes("http://evil.example", scene.bob)
    assert "1 point," in await scene.says("/cases @bob")


async def test_a_flood_is_one_offence(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world, {"flood": "3/10s"})
    for _ in range(3):
        await scene.writes("hello", scene.bob)
    warned = "@bob: too many messages at once. (1 point, case 1)"
    assert await scene.says("hello", scene.bob) == warned
    chat_world.advance(timedelta(seconds=11))
    await scene.writes("hello", scene.bob)
    assert "1 point," in await scene.says("/cases @bob")


async def test_slow_mode_reminds(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world)
    assert await scene.says("/slow 30s") == "One message every 30s."
    await scene.writes("one", scene.bob)
    assert "slow mode is on" in await scene.says("two", scene.bob)
    assert "Nothing is logged" in await scene.says("/cases @bob")
    assert await scene.says("/slow off") == "Slow mode is off."


async def test_moderators_may_say_what_others_may_not(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world, {"words": ["casino"], "flood": "1/10s"})
    for text in ("casino", "casino"):
        await scene.writes(text)
    assert "Nothing is logged" in await scene.says("/cases @alice")


async def test_believed_sockets_let_it_act_by_itself(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world, {"words": ["casino"], "word_points": 3})
    answer = await scene.says("casino", scene.bob)
    assert answer.endswith("@bob is removed (case 2).")
    assert "bob" not in await scene.members()


async def test_a_dry_run_says_what_it_would_do(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world, {"dry_run": True, "words": ["casino"], "word_points": 2})
    assert "(2 points, case 1, dry run)" in await scene.says("casino", scene.bob)
    assert "@bob would be removed (case 3, dry run)." in await scene.says("casino", scene.bob)
    assert "would be banned (case 4, dry run)" in await scene.says("/ban @carol")
    assert await scene.says("/lock") == "Now only admins could write here (dry run)."
    assert await scene.members() == {"alice", "bob", "bot", "carol"}
    assert "cannot be undone" in await scene.says("/undo 1")


async def test_one_group_rehearses_and_what_it_rehearsed_does_not_count(
    chat_world: ChatWorld,
) -> None:
    scene = await begin(chat_world)
    await scene.says("/moderation switch dry-run on")
    assert "dry run" in await scene.says("/warn @bob")
    await scene.says("/moderation switch dry-run off")
    assert await scene.says("/warn @bob") == "@bob is warned. (1 point, case 2)"


async def test_who_is_new_is_greeted_with_the_rules(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world)
    await scene.says("/moderation rules Be kind")
    assert "is greeted" in await scene.says("/moderation welcome Hello {name}!")
    chat_world.advance(ROUND)
    assert await scene.says("/rules", scene.bob) == "Be kind"
    dave = await chat_world.person("dave")
    await scene.brings(dave)
    await chat_world.restart_bot()
    chat_world.advance(ROUND)
    assert await scene.hears() == "Hello @dave!\nBe kind"


async def test_settings_and_cases_outlive_a_restart(chat_world: ChatWorld) -> None:
    scene = await begin(chat_world)
    await scene.says("/warn @bob")
    await scene.says("/moderation word add casino")
    await chat_world.restart_bot()
    assert "(2 points, case 2)" in await scene.says("casino", scene.bob)
    shown = await scene.says("/moderation")
    assert "On: words, flood" in shown
    assert "the backend lets nobody delete those of others" in shown


async def gone(scene: Scene, name: str) -> None:
    """Wait until somebody was put out: the backend tells of it in the group's history alone."""
    scene.world.advance(ROUND)
    while name in await scene.members():
        await scene.says("/rules")
