"""The command line as a process of its own, the way a person starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import chatbot

_SECONDS = 30


@dataclass(frozen=True)
class Server:
    """A `chatbot serve` that listens."""

    url: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal; return the exit code and what was written since the first line."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=5)
        return self.process.returncode, out, err


@dataclass(frozen=True)
class CommandLine:
    """Starts `chatbot` in a folder of the test's own."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self._line(arguments),
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )

    @contextmanager
    def serving(self, *arguments: str | Path) -> Iterator[Server]:
        """Start a backend on a free port; it is gone afterwards, however the test ends."""
        with subprocess.Popen(
            self._line(("serve", "--port", "0", *arguments)),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield Server(_url(process), process)
            finally:
                process.kill()

    def _line(self, arguments: tuple[str | Path, ...]) -> list[str]:
        return [sys.executable, "-m", "chatbot", *map(str, arguments)]


def _url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    match = re.match(r"Listening on (http://127\.0\.0\.1:\d+) ", line)
    assert match, line or process.communicate()[1]
    return match[1]


def command_line_in(folder: Path) -> CommandLine:
    """`chatbot` of this source tree, with nothing of the developer's own environment for it."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CHATBOT_")}
    source = str(Path(chatbot.__file__).parents[1])
    return CommandLine(folder, {**inherited, "PYTHONPATH": source, "PYTHONWARNINGS": "error"})
