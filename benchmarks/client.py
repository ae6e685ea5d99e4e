"""WhatsAppClient against `chatbot serve`: memory when idle, messages a second, and coming back.

The backend, the receiver and the measured client are processes of their own. Durability is on:
`synchronous=FULL`, every message encrypted, stored and echoed.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.report import print_table

MESSAGES = 3000
WINDOW = 64
PASSWORD = "benchmark"

IDLE_GOAL_MB = 50
RATE_GOAL = 500
RETURN_GOAL_S = 3.0


@contextmanager
def backend(folder: Path, port: int = 0) -> Any:
    """`chatbot serve` in a process; yields its URL."""
    command = [sys.executable, "-m", "chatbot", "serve", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--db", str(folder / "backend.db")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[2]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


@dataclass(frozen=True)
class Worker:
    """A client in a process of its own, told what to do over a pipe."""

    process: multiprocessing.process.BaseProcess
    pipe: Connection

    def ask(self, *question: Any, seconds: float = 120) -> Any:
        """Tell it something and return what it answers."""
        self.pipe.send(question)
        if not self.pipe.poll(seconds):
            raise TimeoutError(f"no answer to {question[0]}")
        return self.pipe.recv()

    def stop(self) -> None:
        """End it."""
        self.pipe.send(("stop",))
        self.process.join(10)


def start_worker(url: str, folder: Path, name: str) -> Worker:
    """Start a client and register its account."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_work, args=(theirs, url, str(folder), name)
    )
    process.start()
    worker = Worker(process, ours)
    if not ours.poll(60):
        raise TimeoutError("the client did not start")
    ours.recv()
    return worker


def _work(pipe: Connection, url: str, folder: str, name: str) -> None:
    asyncio.run(_client(pipe, url, folder, name))


async def _client(pipe: Connection, url: str, folder: str, name: str) -> None:
    from chatbot.client import WhatsAppClient  # noqa: PLC0415 - in the worker only

    loop = asyncio.get_running_loop()
    back = _Return()
    tasks = {**_TASKS, "expect": back.expect, "return": back.time}
    async with WhatsAppClient(url, Path(folder) / name) as client:
        await client.register(name, PASSWORD)

        async def answer_question(message: Any) -> None:
            if message.content.endswith("?"):
                await client.send_message(message.from_user, "Yes.")

        client.on_message(answer_question)
        pipe.send("ready")
        while (question := await loop.run_in_executor(None, pipe.recv))[0] != "stop":
            pipe.send(await tasks[question[0]](client, *question[1:]))


async def _idle_memory(_client: Any) -> float:
    """Resident memory in MB."""
    status = Path(f"/proc/{os.getpid()}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


async def _send_many(client: Any, peer: str, count: int) -> tuple[float, float]:
    """Seconds and CPU seconds for `count` messages, a window of them on the way."""
    answered = asyncio.Event()

    async def answer(_message: Any) -> None:
        answered.set()

    client.on_message(answer)
    await client.send_message(
        peer, "Are you there?"
    )  # from the answer on, the session is confirmed
    await answered.wait()
    waiting = asyncio.Semaphore(WINDOW)

    async def send(number: int) -> None:
        async with waiting:
            message = await client.send_message(peer, f"message {number}")
            assert message.status == "delivered", message.status

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(send(number) for number in range(count)))
    return time.perf_counter() - began, time.process_time() - cpu


class _Return:
    """Waits for the client to lose the backend and to find it again."""

    def __init__(self) -> None:
        self._lost, self._back = asyncio.Event(), asyncio.Event()

    async def expect(self, client: Any) -> None:
        """From now on."""
        client.on_connection_change(self._change)

    async def time(self, _client: Any) -> float:
        """When the client was connected again."""
        async with asyncio.timeout(60):
            await self._back.wait()
        return time.time()

    async def _change(self, connected: bool) -> None:
        if not connected:
            self._lost.set()
        elif self._lost.is_set():
            self._back.set()


_TASKS: dict[str, Callable[..., Any]] = {
    "idle": _idle_memory,
    "send": _send_many,
}


def _verdict(*, reached: bool) -> str:
    return "reached" if reached else "MISSED"


def main() -> None:
    """Measure everything and print it."""
    rows: list[tuple[object, ...]] = []
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        with backend(folder) as url:
            port = int(url.rpartition(":")[2])
            sender = start_worker(url, folder, "sender")
            receiver = start_worker(url, folder, "receiver")
            memory = sender.ask("idle")
            rows.append(
                (
                    "idle, logged in: RSS",
                    f"{memory:.1f} MB",
                    f"< {IDLE_GOAL_MB} MB",
                    _verdict(reached=memory < IDLE_GOAL_MB),
                )
            )
            seconds, cpu = sender.ask("send", "receiver", MESSAGES)
            rate = MESSAGES / seconds
            rows.append(
                (
                    "sent and echoed by one client",
                    f"{rate:,.0f}/s",
                    f"> {RATE_GOAL}/s",
                    _verdict(reached=rate > RATE_GOAL),
                )
            )
            rows.append(("  CPU of that client", f"{cpu / MESSAGES * 1000:.2f} ms each", "", ""))
            sender.ask("expect")
            sender.pipe.send(("return",))
        time.sleep(1.0)  # the outage whose end is measured
        with backend(folder, port):
            returned = time.time()
            if not sender.pipe.poll(60):
                raise TimeoutError("the client did not come back")
            delay = sender.pipe.recv() - returned
            rows.append(
                (
                    "connected again after an outage of 1 s",
                    f"{delay:.1f} s",
                    f"< {RETURN_GOAL_S} s",
                    _verdict(reached=delay < RETURN_GOAL_S),
                )
            )
            sender.stop()
            receiver.stop()
    print_table("One client, durable, through `chatbot serve`", ("", "", "goal", ""), rows)


if __name__ == "__main__":
    main()
