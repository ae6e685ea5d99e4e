"""`chatbot status`: how a bot is doing, for a person or (--json) for a program."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from chatbot.cli.operating import operate
from chatbot.client.crypto.identity import format_fingerprint
from chatbot.client.logs import escaped
from chatbot.plugins.durations import format_duration
from chatbot.runtime.control.operations import ReadStatus
from chatbot.runtime.status import Live, Status


def status(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The bot's config.toml.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Say it in JSON.")] = False,
) -> None:
    """Say how a bot is doing, whether it runs or not."""
    found = operate(config, ReadStatus())
    typer.echo(msgspec.json.encode(found).decode() if as_json else _page(found))


def _page(found: Status) -> str:
    depths = found.depths
    facts: dict[str, object] = {
        "bot": f"{found.name} on {found.server_url}",
        "fingerprint": format_fingerprint(found.fingerprint),
        **({"state": "not running"} if found.live is None else _live(found.live)),
        "messages waiting": depths.inbox,
        "messages parked": depths.inbox_parked,
        "answers undelivered": depths.outbox,
        "jobs": depths.jobs,
        "job runs parked": depths.job_runs_parked,
    }
    return "\n".join(f"{name + ':':<21}{escaped(str(value))}" for name, value in facts.items())


def _live(live: Live) -> dict[str, object]:
    up = max(1000, round(time.time_ns() // 1_000_000 - live.started_at, -3))
    return {
        "state": f"running for {format_duration(up)} (process {live.pid}), {live.connection}",
        "plugins": ", ".join(live.plugins),
        **{f"left out ({n})": problem for n, problem in enumerate(live.problems, 1)},
        "prekeys": live.prekeys,
        "messages handled": live.handled,
        "messages sent": live.sent,
        "undecryptable": live.undecryptable,
    }
