"""Our own clock is set to something else; the backend's is right."""

from __future__ import annotations

import pytest
from doubles.clients import PASSWORD, Clients, Collected

from chatbot.testing.clock import MovableClock

DAY = 86_400_000


@pytest.mark.parametrize("jump", [-DAY, DAY, 40 * DAY])
async def test_what_comes_while_it_is_wrong_and_afterwards_is_handled_once(
    clients: Clients, jump: int
) -> None:
    clock = MovableClock()
    alice, bob = await clients.register("alice"), await clients.register("bob", clock=clock)
    heard, answered = Collected(bob.on_message), Collected(alice.on_message)
    for number, ahead in enumerate((0, jump, -jump, 0)):
        clock.advance(ahead)
        await alice.send_message("bob", f"message {number}")
        assert (await heard.next()).content == f"message {number}"
        await bob.send_message("alice", f"answer {number}")
        assert (await answered.next()).content == f"answer {number}"


@pytest.mark.parametrize("jump", [-DAY, DAY])
async def test_who_writes_after_it_was_set_right_is_found(clients: Clients, jump: int) -> None:
    """Known or a stranger, and both wrote while we were away."""
    clock = MovableClock()
    alice, bob = await clients.register("alice"), await clients.register("bob", clock=clock)
    clock.advance(jump)
    zoe = await clients.register("zoe")
    heard = Collected(bob.on_message)
    await alice.send_message("bob", "hello")
    await heard.next()
    await bob.logout()
    bob = await clients.login("bob", clock=clock)  # it looks at everybody's history
    await bob.logout()
    clock.advance(-jump)
    await alice.send_message("bob", "known")
    await zoe.send_message("bob", "unknown")
    for writer in (alice, zoe):
        await writer.logout()  # so that nobody sends it again
    bob = clients.new(clock=clock)
    heard = Collected(bob.on_message)
    await bob.login("bob", PASSWORD)
    assert {(await heard.next()).content for _ in range(2)} == {"known", "unknown"}
