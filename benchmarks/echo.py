"""A bot that answers, end to end: CPU an echo, echoes a second, latency, memory, start-up.

`chatbot run` is a process of its own and alone is counted; durability is on (`synchronous=FULL`).
Relay and peers are this process, so that the bot has one of two cores.

    python -m benchmarks.echo [MESSAGES]
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

from aiohttp import web

from benchmarks.lean_relay import LeanRelay, Peer
from benchmarks.report import print_table

MESSAGES = 100_000
PEERS = 1000
IN_FLIGHT = 128
PACE = 200
PACED_SECONDS = 10
STARTS = 5

CONFIG = """
[bot]
name = "echo-bot"
register = true
[server]
url = "{url}"
[plugins]
load = ["./echo.py"]
[logging]
level = "WARNING"
"""

PLUGIN = '''
"""Echo: say it again."""

from chatbot import Plugin, Rest

plugin = Plugin("echo")


@plugin.command("echo")
async def echo(text: Rest) -> str:
    """Say TEXT again."""
    return text
'''


class Bot:
    """`chatbot run` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        began = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chatbot", "run", str(folder / "bot.toml")],
            stdout=subprocess.PIPE,
            env={**os.environ, "CHATBOT_PASSWORD": "benchmark"},
            text=True,
        )
        self._stdout = self._process.stdout
        self._began = began
        self.ready_after = 0.0

    async def ready(self) -> None:
        """Wait until it has introduced itself."""
        assert self._stdout is not None
        for _ in range(4):
            await asyncio.to_thread(self._stdout.readline)
        self.ready_after = time.perf_counter() - self._began

    @property
    def cpu(self) -> float:
        """Seconds, of all its threads."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory(self) -> float:
        """Resident, in MB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024

    async def stop(self) -> None:
        """End it in order."""
        self._process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self._process.communicate)


@dataclass
class Load:
    """Peers who write, and wait for what the bot answers.

    Attributes:
        latencies: seconds from each message to its answer.
    """

    relay: LeanRelay
    latencies: list[float] = field(default_factory=list)
    _waiting: dict[str, asyncio.Future[None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Listen to the bot's answers."""
        self.relay.on_answer = self._answered

    def _answered(self, peer: Peer, text: str) -> None:
        assert text == f"hello {peer.username}", text
        waiting = self._waiting.pop(peer.id, None)
        if waiting is not None:  # or else it is said once more, as what went out bare may be
            self.latencies.append(time.perf_counter() - peer.sent_at)
            waiting.set_result(None)

    async def exchange(self, peer: Peer) -> None:
        """One message and its answer."""
        answered = self._waiting[peer.id] = asyncio.get_running_loop().create_future()
        await self.relay.send(peer, f"/echo hello {peer.username}")
        async with asyncio.timeout(60):
            await answered

    async def flood(self, count: int) -> float:
        """As much as is answered, with a window of peers on the way; seconds."""
        peers = cycle(self.relay.peers.values())
        turns: Iterator[Peer] = (next(peers) for _ in range(count))

        async def work() -> None:
            for peer in turns:
                await self.exchange(peer)

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
        return time.perf_counter() - began

    async def pace(self, rate: int, seconds: int) -> list[float]:
        """So many a second, whatever is answered; the latencies, sorted."""
        self.latencies.clear()
        peers = cycle(self.relay.peers.values())
        async with asyncio.TaskGroup() as tasks:
            began = time.perf_counter()
            for number in range(rate * seconds):
                await asyncio.sleep(began + number / rate - time.perf_counter())
                tasks.create_task(self.exchange(next(peers)))
        return sorted(self.latencies)


@asynccontextmanager
async def serving(relay: LeanRelay) -> AsyncIterator[str]:
    """The relay on a free port; its URL."""
    runner = web.AppRunner(relay.application(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=1)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextmanager
def bot_folder(url: str) -> Iterator[Path]:
    """A config.toml and the plugin, in a folder of their own."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "bot.toml").write_text(CONFIG.format(url=url))
        (folder / "echo.py").write_text(PLUGIN)
        yield folder


def help_seconds() -> float:
    """How long `chatbot --help` takes."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "chatbot", "--help"], check=True, capture_output=True)
    return time.perf_counter() - began


async def measure(messages: int) -> list[tuple[str, float, float, str]]:
    """Everything: what, how much, the goal, the unit."""
    relay = LeanRelay({peer.id: peer for peer in map(Peer, range(PEERS))})
    async with serving(relay) as url:
        with bot_folder(url) as folder:
            first = Bot(folder)
            await first.ready()
            await first.stop()
            bot = Bot(folder)
            await bot.ready()
            try:
                return [
                    ("`chatbot run` ready", bot.ready_after, 1.5, "s"),
                    ("`chatbot --help`", min(help_seconds() for _ in range(STARTS)), 0.3, "s"),
                    *await _answers(bot, Load(relay), messages),
                ]
            finally:
                await bot.stop()


async def _answers(bot: Bot, load: Load, messages: int) -> list[tuple[str, float, float, str]]:
    idle = bot.memory
    await load.flood(2 * PEERS)  # everybody opens a session, and is answered in it
    latencies = await load.pace(PACE, PACED_SECONDS)
    cpu = bot.cpu
    seconds = await load.flood(messages)
    cpu = bot.cpu - cpu
    return [
        ("idle bot, RSS", idle, 72, "MB"),
        (f"latency at {PACE}/s, p50", 1000 * latencies[len(latencies) // 2], 5, "ms"),
        (f"latency at {PACE}/s, p99", 1000 * latencies[len(latencies) * 99 // 100], 25, "ms"),
        ("CPU an echo", 1000 * cpu / messages, 0.8, "ms"),
        ("echoes", messages / seconds, 1000, "/s"),
        (f"RSS after {messages:,} messages of {PEERS:,} peers", bot.memory, 100, "MB"),
    ]


def main() -> None:
    """Measure everything and print it."""
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else MESSAGES
    rows = []
    for what, value, goal, unit in asyncio.run(measure(messages)):
        reached = value >= goal if unit == "/s" else value <= goal
        sign = ">" if unit == "/s" else "<"
        verdict = "reached" if reached else "MISSED"
        rows.append((what, f"{value:,.2f} {unit}", f"{sign} {goal:g} {unit}", verdict))
    print_table("A bot that answers, durable, its process alone", ("", "", "goal", ""), rows)


if __name__ == "__main__":
    main()
