"""The command line: which commands there are, and what they have in common."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperGroup

from chatbot.version import __version__


class Command(NamedTuple):
    """A function of the command's name, in the module of that name.

    Attributes:
        does: what, in a line.
        example: a line to type.
    """

    does: str
    example: str


COMMANDS: Final[Mapping[str, Command]] = MappingProxyType(
    {
        "run": Command("Run bots until Ctrl-C.", "run bot.toml"),
        "serve": Command("Run a backend until Ctrl-C.", "serve --db team.db --admin alice"),
        "chat": Command(
            "Talk to somebody, or to a bot.",
            "chat --server https://chat.example --as alice --to bob",
        ),
        "check": Command(
            "Validate configurations and the plugins they list; connect to nothing.",
            "check bot.toml",
        ),
        "new": Command(
            "Begin a plugin or a bot: a package that passes its own tests.",
            "new plugin lunch-menu",
        ),
        "status": Command("Say how a bot is doing.", "status bot.toml --json"),
        "doctor": Command(
            "Look for what is wrong with a bot, and say what to do.", "doctor bot.toml"
        ),
        "inbox": Command(
            "Look at messages and job runs that were given up; retry or drop them.",
            "inbox bot.toml retry 17",
        ),
        "trust": Command(
            "Trust somebody's changed identity as the old one was.", "trust bot.toml alice"
        ),
        "backup": Command(
            "Seal a bot's whole account into one file.", "backup bot.toml bot.backup"
        ),
        "restore": Command("Put an account back from a backup.", "restore bot.backup bot.toml"),
        "passwd": Command(
            "Change the password of what is on the disk.",
            "passwd bot.toml --password-file new.password",
        ),
        "fingerprint": Command(
            "Show a bot's fingerprint, for people to compare.", "fingerprint bot.toml --qr bot.png"
        ),
    }
)


def _command(name: str) -> Any:
    """Import a command and return it as typer's own object."""
    command = typer.Typer(add_completion=False, rich_markup_mode=None)
    example = f"Example: chatbot {COMMANDS[name].example}"
    command.command(name, epilog=example)(getattr(import_module(f"chatbot.cli.{name}"), name))
    return typer.main.get_command(command)


class _Commands(TyperGroup):
    """Imports a command when it is typed: `--help` needs none of what the commands need."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        del ctx
        return _command(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.does) for name, command in COMMANDS.items()])


app: Final = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="chatbot COMMAND --help explains a command.",
)


def main() -> None:
    """Run the command of `sys.argv` and end the process with its exit code (see errors.py)."""
    logging.getLogger("chatbot").addHandler(logging.NullHandler())
    try:
        app(prog_name="chatbot")
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told here and nowhere else
        from chatbot.cli.errors import report  # noqa: PLC0415 - most runs end well

        raise SystemExit(report(error)) from None


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"chatbot {__version__}")
        raise typer.Exit


@app.callback()
def common(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Say the version and end.", callback=_say_version, is_eager=True
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Log everything, and where errors come from.")
    ] = False,
) -> None:
    """Bots for an end-to-end encrypted chat."""
    del version
    if debug:
        from chatbot.client.logs import configure_logging  # noqa: PLC0415 - rarely asked for

        # The environment wins over the [logging] of a config file, and --debug wins with it.
        os.environ["CHATBOT_LOGGING__LEVEL"] = "DEBUG"
        configure_logging("DEBUG")
