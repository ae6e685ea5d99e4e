"""`chatbot chat`: talk to somebody from a terminal, or from a script."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from pathlib import Path
from typing import Annotated, Final, TextIO

import typer

from chatbot.cli.passwords import account_password, storage_password
from chatbot.cli.signals import stop_requested, until_stopped
from chatbot.client.client import WhatsAppClient
from chatbot.client.exceptions import WhatsAppClientError
from chatbot.client.logs import escaped
from chatbot.client.models import Message, User
from chatbot.client.options import ClientOptions

DEFAULT_STORAGE: Final = Path("~/.whatsapp_client")
DEFAULT_WAIT: Final = 5.0

_NOTES: Final = {
    "sent": "{peer} is offline; the message goes out again when {peer} returns",
    "pending": "no word from the backend yet; the message is kept and goes on its way",
}


def chat(
    *,
    server: Annotated[str, typer.Option(metavar="URL", help="The backend.")],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="Your user name.")],
    to: Annotated[str, typer.Option(metavar="PEER", help="Whom to talk to: user name or id.")],
    register: Annotated[
        bool, typer.Option("--register", help="Make the account where there is none yet.")
    ] = False,
    password_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Holds the password, if CHATBOT_PASSWORD does not."),
    ] = None,
    storage: Annotated[
        Path, typer.Option(metavar="DIR", help="Where keys and messages are kept.")
    ] = (DEFAULT_STORAGE),
    wait: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0, help="Seconds to wait for answers when the input has ended."
        ),
    ] = DEFAULT_WAIT,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object per message, for programs.")
    ] = False,
    allow_insecure: Annotated[
        bool, typer.Option("--allow-insecure", help="Accept clear text to other machines.")
    ] = False,
) -> None:
    """Talk to somebody: a line is a message.

    Piped input is sent line by line, and then answers are waited for. The password comes from
    CHATBOT_PASSWORD, --password-file, or a prompt.
    """
    client = WhatsAppClient(
        server,
        storage,
        storage_password=storage_password(),
        options=ClientOptions(allow_insecure=allow_insecure),
    )
    password = account_password(name, password_file)
    printer = Printer(sys.stdout, as_json=as_json)
    asyncio.run(_chat(client, name, password, to, printer, wait=wait, register=register))


class Printer:
    """Prints messages, one a line, at once."""

    def __init__(self, output: TextIO, *, as_json: bool) -> None:
        self._output = output
        self._as_json = as_json

    def message(self, sender: str, message: Message) -> None:
        """Print a message; a foreign text cannot move the cursor or forge a second message."""
        if self._as_json:
            line = json.dumps(
                {
                    "from": sender,
                    "text": message.content,
                    "id": message.id,
                    "timestamp": message.timestamp,
                    "encrypted": message.is_encrypted,
                }
            )
        else:
            text = "\n    ".join(escaped(part) for part in message.content.split("\n"))
            warning = "" if message.is_encrypted else " [not encrypted: anybody may have sent this]"
            line = f"{sender}: {text}{warning}"
        print(line, file=self._output, flush=True)

    def note(self, text: str) -> None:
        """Tell the person something that is no message."""
        typer.echo(f"({text})", err=True)


async def _chat(
    client: WhatsAppClient,
    name: str,
    password: str,
    to: str,
    printer: Printer,
    *,
    wait: float,
    register: bool,
) -> None:
    async def talk() -> None:
        enter = client.register_or_login if register else client.login
        await enter(name, password)
        peer = await client._account.directory.resolve(to)  # noqa: SLF001
        conversation = Conversation(client, peer, printer)
        if sys.stdin.isatty():
            printer.note(f"you are {name}, talking to {peer.username}; Ctrl-C or Ctrl-D ends it")
        await conversation.run(wait)

    with stop_requested() as stop:
        async with client:
            await until_stopped(stop, talk())


class Conversation:
    """What is typed goes to the peer, in order; what the peer says is printed."""

    def __init__(self, client: WhatsAppClient, peer: User, printer: Printer) -> None:
        self._client = client
        self._peer = peer
        self._printer = printer
        self._heard = asyncio.Event()
        client.on_message(self._print)

    async def run(self, wait: float) -> None:
        """Send line after line; after the last, stay until nothing more came for `wait` s."""
        async for line in stdin_lines():
            if line.strip():
                await self._send(line)
        while True:
            self._heard.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._heard.wait()
            except TimeoutError:
                return

    async def _send(self, line: str) -> None:
        try:
            message = await self._client.send_message(self._peer.id, line)
        except WhatsAppClientError as error:
            if not sys.stdin.isatty():
                raise  # a script should know
            self._printer.note(f"not sent: {error}")
        else:
            if note := _NOTES.get(message.status):
                self._printer.note(note.format(peer=self._peer.username))

    def _print(self, message: Message) -> None:
        if message.from_user == self._peer.id:
            self._printer.message(self._peer.username, message)
            self._heard.set()
        else:
            self._printer.note("somebody else wrote to you; start another chat to read it")


class _Lines:
    """Lines of standard input, read on a thread: not every platform can wait for it otherwise."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    def __aiter__(self) -> _Lines:
        return self

    async def __anext__(self) -> str:
        line = await self._queue.get()
        if line is None:
            raise StopAsyncIteration
        return line

    def _read(self) -> None:
        for line in sys.stdin:
            self._put(line.rstrip("\r\n"))
        self._put(None)

    def _put(self, line: str | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._queue.put_nowait, line)


def stdin_lines() -> _Lines:
    """The lines of standard input, without their ends."""
    return _Lines()
