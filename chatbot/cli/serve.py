"""`chatbot serve`: the embedded backend by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from chatbot.cli.signals import stop_requested
from chatbot.server import DEFAULT_HOST, DEFAULT_PORT, Server


def serve(
    *,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="The address to listen on.")
    ] = DEFAULT_HOST,
    port: Annotated[
        int,
        typer.Option(metavar="PORT", min=0, max=65535, help="The port; 0 takes any that is free."),
    ] = DEFAULT_PORT,
    db: Annotated[
        Path, typer.Option(metavar="FILE", help="The database; made where it is not there yet.")
    ] = Path("backend.db"),
    browser_compat: Annotated[
        bool,
        typer.Option(
            "--browser-compat",
            help="Believe the bare user ids of the browser client: whoever reaches it is whoever "
            "they say. On this machine only, unless forced.",
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Allow --browser-compat on addresses others can reach.")
    ] = False,
    admin: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Make this account an administrator. May be repeated."),
    ] = None,
) -> None:
    """Run a backend until Ctrl-C."""
    server = Server(db, host=host, port=port, browser_compat=browser_compat, force=force)
    asyncio.run(_serve(server, admin or []))


async def _serve(server: Server, admins: list[str]) -> None:
    with stop_requested() as stop:
        async with server:
            for name in admins:
                await server.make_admin(name)
            typer.echo(f"Listening on {server.url} (Ctrl-C stops it)")
            await stop.wait()
    typer.echo("Stopped")
