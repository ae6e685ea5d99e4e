"""Those who write for the first time while we are away (PROTOCOL.md 4.3)."""

from __future__ import annotations

from doubles.clients import Clients, Collected
from doubles.faulty_backend import FaultyServer

from chatbot.testing.clock import MovableClock


async def test_what_a_stranger_writes_now_waits_behind_what_it_wrote_before(
    clients: Clients,
) -> None:
    """The sweep, which comes to the stranger late, is not waited for."""
    bob = await clients.register("bob")
    await bob.logout()
    for name in ("adam", "adele", "agnes"):
        await clients.register(name)
    zoe = await clients.register("zoe")
    await zoe.send_message("bob", "while you were away")
    bob = clients.new()
    heard = Collected(bob.on_message)
    await bob.login("bob", "correct horse")
    await zoe.send_message("bob", "now that you are here")
    assert [(await heard.next()).content for _ in range(2)] == [
        "while you were away",
        "now that you are here",
    ]


async def test_one_who_wrote_while_the_machine_slept_is_found(
    faulty: FaultyServer, faulty_clients: Clients
) -> None:
    """The socket was lost a moment ago, for all that is known; but it was deaf for a minute."""
    faulty.faults.unanswered_close = False  # which would only take its time
    clock = MovableClock()
    bob = await faulty_clients.register("bob", clock=clock)
    zoe = await faulty_clients.register("zoe")
    heard = Collected(bob.on_message)
    faulty.faults.lost_pushes = True
    await zoe.send_message("bob", "are you there?")
    clock.advance(61_000)
    faulty.drop_sockets(bob.user_id)

    assert (await heard.next(20)).content == "are you there?"
