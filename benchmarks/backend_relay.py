"""Messages a second that the embedded backend relays: stored, forwarded and echoed.

The backend runs in a process of its own, so that its CPU time is its own; this process is the load:
pairs of sockets, each sender keeping a window of messages without an echo.

    python benchmarks/backend_relay.py --pairs 8 --messages 20000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import aiohttp
import websockets
from argon2 import PasswordHasher

from chatbot.server import Limits, Server

CONTENT = json.dumps(
    {
        "header": {"ratchetKey": "A" * 44, "previousChainLength": 3, "messageNumber": 7},
        "ciphertext": "B" * 160,
        "authTag": "",
    }
)


@dataclass(frozen=True)
class Peer:
    """An account and its socket."""

    user_id: str
    token: str
    socket: websockets.ClientConnection


async def serve(pipe: Connection, folder: Path) -> None:
    """Run the backend until the load is through."""
    limits = Limits(frames_per_second=1e6, frame_burst=1_000_000)
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    loop = asyncio.get_running_loop()
    async with Server(
        folder / "backend.db", port=0, limits=limits, password_hasher=hasher
    ) as server:
        pipe.send(server.url)
        while await loop.run_in_executor(None, pipe.recv) == "cpu":
            usage = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send((usage.ru_utime + usage.ru_stime, usage.ru_maxrss))


def run_server(pipe: Connection, folder: Path) -> None:
    """Run in the child process."""
    asyncio.run(serve(pipe, folder))


async def join(http: aiohttp.ClientSession, url: str, name: str) -> Peer:
    """Register an account and open its socket."""
    body = {"username": name, "password": "benchmark"}
    async with http.post(f"{url}/api/auth/register", json=body) as answer:
        account: dict[str, Any] = await answer.json()
    socket = await websockets.connect(
        f"ws{url.removeprefix('http')}/ws",
        additional_headers={"Authorization": f"Bearer {account['token']}"},
        compression=None,
        max_queue=None,
    )
    await socket.send(frame("auth", userId=account["id"], username=name))
    await socket.recv()
    return Peer(account["id"], account["token"], socket)


def frame(kind: str, **payload: Any) -> str:
    """Return a frame's text."""
    return json.dumps({"type": kind, "payload": payload})


async def relay(sender: Peer, receiver: Peer, count: int, window: int) -> list[float]:
    """Send `count` messages and return the seconds from each to its echo."""
    room = asyncio.Semaphore(window)
    sent: list[float] = []
    latencies: list[float] = []

    async def send() -> None:
        for number in range(count):
            await room.acquire()
            sent.append(time.perf_counter())
            await sender.socket.send(
                frame(
                    "message",
                    to=receiver.user_id,
                    content=CONTENT,
                    messageType="text",
                    encrypted=True,
                    messageId=f"{sender.user_id}-{number}",
                )
            )

    async def take(peer: Peer, *, echoes: bool) -> None:
        taken = 0
        while taken < count:
            if '"type":"message"' not in (text := str(await peer.socket.recv())):
                continue
            taken += 1
            if echoes:
                assert '"delivered"' in text
                latencies.append(time.perf_counter() - sent[taken - 1])
                room.release()

    await asyncio.gather(send(), take(sender, echoes=True), take(receiver, echoes=False))
    return latencies


async def load(pipe: Connection, url: str, pairs: int, messages: int, window: int) -> None:
    """Drive the backend and print what it did."""
    async with aiohttp.ClientSession() as http:
        peers = [await join(http, url, f"user-{number}") for number in range(2 * pairs)]
    cpu_before, _ = probe(pipe)
    begun = time.perf_counter()
    each = messages // pairs
    results = await asyncio.gather(
        *(relay(peers[2 * pair], peers[2 * pair + 1], each, window) for pair in range(pairs))
    )
    seconds = time.perf_counter() - begun
    cpu_after, peak = probe(pipe)
    latencies = sorted(latency for result in results for latency in result)
    total, cpu = len(latencies), cpu_after - cpu_before
    print(f"{total} messages, {pairs} pairs, window {window}: {total / seconds:.0f} messages/s")
    print(f"backend CPU: {1000 * cpu / total:.3f} ms a message, {total / cpu:.0f}/s on one core")
    for share in (0.5, 0.99):
        print(f"echo p{100 * share:.0f}: {1000 * latencies[int(share * total)]:.1f} ms")
    print(f"backend RSS at most: {peak / 1024:.0f} MB")
    for peer in peers:
        await peer.socket.close()


def probe(pipe: Connection) -> tuple[float, int]:
    """Ask the backend for its CPU seconds and its largest RSS."""
    pipe.send("cpu")
    answer: tuple[float, int] = pipe.recv()
    return answer


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--window", type=int, default=16)
    arguments = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        process = multiprocessing.get_context("spawn").Process(
            target=run_server, args=(theirs, Path(folder))
        )
        process.start()
        try:
            asyncio.run(
                load(ours, ours.recv(), arguments.pairs, arguments.messages, arguments.window)
            )
        finally:
            ours.send("stop")
            process.join(10)


if __name__ == "__main__":
    main()
