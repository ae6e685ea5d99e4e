"""`chatbot check`: is the configuration right? Nothing is connected and nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chatbot.cli.errors import ExitCode, complain
from chatbot.runtime.clock import SystemClock
from chatbot.runtime.controls import Controls, make_loader
from chatbot.runtime.options import BUILT_IN
from chatbot.settings import load_settings
from chatbot.settings_errors import SettingsError


def check(
    configs: Annotated[
        list[Path], typer.Argument(metavar="CONFIG", help="The config.toml of each bot.")
    ],
) -> None:
    """Validate configurations and the plugins they list; connect to nothing.

    It says all that is wrong, a line each, and ends with 2 if there is anything.
    """
    problems = [problem for config in configs for problem in _problems(config)]
    if problems:
        complain("\n".join(problems))
        raise typer.Exit(ExitCode.CONFIGURATION)


def _problems(config: Path) -> list[str]:
    """Return what is wrong, a line each; say what is right."""
    try:
        settings = load_settings(config)
    except SettingsError as error:
        return [str(problem) for problem in error.problems]
    # As `chatbot run` loads them, the built-in ones in front.
    loader = make_loader(
        config.absolute().parent,
        settings.plugins.tables,
        settings.bot.timezone,
        Controls(),
        SystemClock().now,
    )
    assembly = loader.load(tuple(dict.fromkeys((*BUILT_IN, *settings.plugins.load))))
    if not assembly.problems:
        names = ", ".join(plugin.name for plugin in assembly.plugins[len(BUILT_IN) :]) or "none"
        typer.echo(f"{config}: good; plugins: {names}")
    return [f"{config}: {problem}" for problem in assembly.problems]
