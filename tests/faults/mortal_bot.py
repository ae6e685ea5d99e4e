"""A bot that dies as it is told, on a disk and a clock that do as they are told.

`python -m faults.mortal_bot` with an `Order` as JSON on its standard input. What is not asked for
is as in production: the product reads none of this.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from doubles.clients import CHEAP

from chatbot.client.options import ClientOptions
from chatbot.client.transport.link import Link
from chatbot.runtime.clock import SystemClock
from chatbot.runtime.options import BotOptions
from chatbot.runtime.runtime import BotRuntime
from faults.disk import Disk, install

READY = "ready"
PASSWORD = "a password for tests"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a bot is, and how its life ends.

    Attributes:
        name: its account's.
        plugin: the file of its one plugin.
        undecryptable: a file that gets a line for every message that could not be decrypted.
        seed: of what its disk and its clock do by themselves.
        loses_cache: whether what its disk has not synced dies with it.
        dies_at_write: the operation of its disk in which it is killed.
        dies_at_frame: the frame of its socket at which it is killed,
        after_frame: just after that is handed to the socket, or else just before.
        jumps: the furthest (ms) that its clock jumps, either way and back again.
    """

    server_url: str
    storage_path: str
    plugin: str
    undecryptable: str
    name: str = "bot"
    seed: int = 0
    loses_cache: bool = False
    dies_at_write: int | None = None
    dies_at_frame: int | None = None
    after_frame: bool = False
    jumps: int = 0


class JumpingClock(SystemClock):
    """The machine's clock, set to something else now and then.

    Attributes:
        offset: ms.
    """

    offset = 0

    def now(self) -> int:
        """The time, as somebody has set it."""
        return super().now() + self.offset

    async def jump(self, furthest: int, random: Random) -> None:
        """Jump for ever, up to so many ms away from the truth."""
        while True:
            await asyncio.sleep(random.uniform(0, 4))
            self.offset = random.choice((0, random.randint(-furthest, furthest)))


def main() -> None:
    """Live until killed, told to stop by SIGTERM, or ended by an error."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    disk = Disk(loses_cache=order.loses_cache, dies_at=order.dies_at_write, seed=order.seed)
    keep = install(disk)
    signal.signal(signal.SIGUSR1, lambda *_: setattr(disk, "full", True))
    signal.signal(signal.SIGUSR2, lambda *_: setattr(disk, "full", False))
    if order.dies_at_frame is not None:
        _die_at_frame(order.dies_at_frame, after=order.after_frame)
    asyncio.run(_live(order))
    del keep


async def _live(order: Order) -> None:
    clock = JumpingClock()
    plugin = Path(order.plugin)
    options = BotOptions(
        name=order.name,
        password=PASSWORD,
        registers=True,
        server_url=order.server_url,
        storage_path=Path(order.storage_path),
        base=plugin.parent,
        plugins=[f"./{plugin.name}"],
        client=ClientOptions(argon2=CHEAP, trusted_server=True, reconnect_delay=0.5),
    )
    runtime = BotRuntime(options, clock=clock)
    runtime.client.on_undecryptable(partial(_note, Path(order.undecryptable)))
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    loop.add_signal_handler(signal.SIGQUIT, _say_what_runs)
    async with runtime, asyncio.TaskGroup() as tasks:
        os.write(sys.stdout.fileno(), f"{READY}\n".encode())
        jumping = tasks.create_task(clock.jump(order.jumps, Random(order.seed)))
        ends: set[asyncio.Future[Any]] = {tasks.create_task(stopped.wait()), runtime.failed}
        done, left = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in (jumping, *left):
            task.cancel()
        if runtime.failed in done:
            raise runtime.failed.result()


def _say_what_runs() -> None:
    """What every task waits for, for whoever looks into why the bot hangs."""
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stderr)


def _note(file: Path, peer_id: str, reason: str) -> None:
    with file.open("a") as notes:
        notes.write(f"{peer_id} {reason}\n")


def _die_at_frame(number: int, *, after: bool) -> None:
    """Be killed at the nth frame that goes to a socket."""
    send: Callable[[Link, str, Any], None] = Link.send
    sent = 0

    def mortal(link: Link, kind: str, payload: msgspec.Struct | Mapping[str, Any]) -> None:
        nonlocal sent
        sent += 1
        if sent == number and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        send(link, kind, payload)
        if sent == number:
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGKILL)

    Link.send = mortal  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    main()
