"""Those who write for the first time while we are away (PROTOCOL.md 4.3)."""

from __future__ import annotations

from doubles.clients import Clients, Collected


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
