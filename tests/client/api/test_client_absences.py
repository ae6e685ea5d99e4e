"""Three clients, one of which is killed, offline, or not known yet, on either backend."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from doubles.client_process import ClientProcess, Heard
from doubles.clients import PASSWORD, Clients, Collected, texts

from chatbot.client.client import WhatsAppClient
from chatbot.client.models import Message


def of(place: str, heard: list[Heard]) -> list[str]:
    return [content for where, content in heard if where == place]


def once(contents: list[str]) -> list[str]:
    """Without the repetitions of those whose handler a kill cut short."""
    return [content for content, _ in groupby(contents)]


async def test_killed_amid_traffic_it_catches_up_in_order(
    any_clients: Clients, tmp_path: Path
) -> None:
    alice, carol = await any_clients.register("alice"), await any_clients.register("carol")
    bob = await any_clients.register("bob")
    group = await alice.create_group("team", member_ids=["bob", "carol"])
    me, storage = bob.user_id, tmp_path / "clients"
    await bob.logout()
    victim = ClientProcess(any_clients.url, "bob", storage)
    lives, each = 3, 6

    async def talk(numbers: range) -> None:
        for number in numbers:
            await alice.send_message(me, f"direct {number}")
            await carol.send_group_message(group.id, f"group {number}")

    try:
        for life in range(lives):
            first = 2 * each * life
            await victim.start()
            await talk(range(first, first + each))
            await victim.kill()  # whatever it has handled of these
            await talk(range(first + each, first + 2 * each))
        await victim.start()
        total = 2 * each * lives
        await victim.until((alice.user_id, f"direct {total - 1}"))
        await victim.until((group.id, f"group {total - 1}"))
    finally:
        await victim.kill()
    for place, word in ((alice.user_id, "direct"), (group.id, "group")):
        handled = of(place, victim.heard)
        assert once(handled) == [f"{word} {number}" for number in range(total)]
        assert len(handled) <= total + lives  # no more than the one that each kill cut short
    bob = await any_clients.login("bob")
    kept = texts(await bob.get_messages(alice.user_id, limit=10 * total))
    assert kept == [f"direct {number}" for number in range(total)]


async def test_offline_it_gets_its_messages_on_return_once(any_clients: Clients) -> None:
    """Though a sender restarts meanwhile, and others write while it comes back."""
    alice, carol = await any_clients.register("alice"), await any_clients.register("carol")
    bob = await any_clients.register("bob")
    for writer in (alice, carol):
        await bob.receive_message(await writer.send_message("bob", "hello"))
    await bob.logout()
    for number in range(5):
        assert (await alice.send_message("bob", f"a{number}")).status == "sent"
        assert (await carol.send_message("bob", f"c{number}")).status == "sent"
    await alice.logout()
    alice = await any_clients.login("alice")
    bob = any_clients.new()
    heard = Collected(bob.on_message)
    await bob.login("bob", PASSWORD)
    for writer, letter in ((alice, "a"), (carol, "c")):
        await writer.send_message("bob", f"{letter}5")
    for _ in range(14):
        await heard.next(30)
    for writer, letter in ((alice, "a"), (carol, "c")):
        said = [m.content for m in heard.all if m.from_user == writer.user_id]
        assert said == ["hello", *(f"{letter}{number}" for number in range(6))]
        assert texts(await bob.get_messages(writer.user_id)) == said
    await bob.receive_message(await alice.send_message("bob", "last"))
    assert (await heard.next()).content == "last"
    assert len(heard.all) == 15
    assert all(message.is_encrypted for message in heard.all)


async def test_a_stranger_who_wrote_while_it_was_offline_is_answered(any_clients: Clients) -> None:
    bob = await any_clients.register("bob")
    await bob.logout()
    stranger = await any_clients.register("stranger")
    answers = Collected(stranger.on_message)
    await stranger.send_message("bob", "is anybody there?")
    bob = any_clients.new()
    answer_everything(bob)
    await bob.login("bob", PASSWORD)
    answer: Message = await answers.next(30)
    assert (answer.content, answer.from_user) == ("you said: is anybody there?", bob.user_id)
    assert answer.is_encrypted
    await stranger.send_message("bob", "good")
    assert (await answers.next()).content == "you said: good"
    assert len(answers.all) == 2


def answer_everything(client: WhatsAppClient) -> None:
    @client.on_message
    async def answer(message: Message) -> None:
        await client.send_message(message.from_user, f"you said: {message.content}")
