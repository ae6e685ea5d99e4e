"""Every configuration that comes along is good, wherever one stands."""

from __future__ import annotations

from pathlib import Path

from doubles.command_line import CommandLine

CONFIGURATIONS = sorted((Path(__file__).parents[2] / "config").glob("*.toml"))


def test_all_of_them(command_line: CommandLine) -> None:
    bots = {"announcements", "demo", "moderation", "standup"}
    assert bots <= {file.stem for file in CONFIGURATIONS}
    result = command_line.run("check", *CONFIGURATIONS)
    assert (result.returncode, result.stderr) == (0, "")
    for file in CONFIGURATIONS:
        assert file.name in result.stdout
