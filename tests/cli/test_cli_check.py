from __future__ import annotations

from pathlib import Path

from doubles.command_line import CommandLine

DEMO = Path(__file__).parents[2] / "config" / "demo.toml"

PLUGIN = '''
from chatbot import Context, Plugin

plugin = Plugin("greeter")

@plugin.command("hi")
async def hi(ctx: Context) -> str:
    """Greet."""
    return "Hello!"
'''


def write_bot(folder: Path, load: str, more: str = "") -> Path:
    config = folder / "bot.toml"
    config.write_text(f'[bot]\nname = "demo"\n[plugins]\nload = ["{load}"]\n{more}')
    return config


def test_a_good_configuration_is_said_to_be_good(command_line: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "greeter.py").write_text(PLUGIN)
    write_bot(tmp_path, "./greeter.py")
    before = sorted(tmp_path.rglob("*"))
    result = command_line.run("check", "bot.toml")
    assert (result.returncode, result.stderr) == (0, "")
    assert "bot.toml" in result.stdout
    assert "greeter" in result.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_everything_wrong_with_every_bot_is_told(command_line: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("from chatbot import Plugin\n\nraise ZeroDivisionError\n")
    write_bot(tmp_path, "./broken.py", "[plugins.nobody]\nx = 1\n")
    (tmp_path / "other.toml").write_text('[bot]\nname = "x"\nprefixx = "/"\n')
    result = command_line.run("check", "bot.toml", "other.toml", "missing.toml")
    assert result.returncode == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0].startswith("Error: bot.toml: ")
    assert any(f"{tmp_path / 'broken.py'}:3" in line for line in lines)
    assert any("[plugins.nobody]" in line for line in lines)
    assert any("other.toml: bot.name" in line for line in lines)
    assert any("other.toml: bot.prefixx: unknown key" in line for line in lines)
    assert any("missing.toml: cannot be read" in line for line in lines)
    assert "Traceback" not in result.stderr


def test_the_demo_is_good_wherever_one_stands(command_line: CommandLine) -> None:
    result = command_line.run("check", DEMO)
    assert (result.returncode, result.stderr) == (0, "")
    assert "echo, dice" in result.stdout


def test_what_run_would_refuse_is_refused(command_line: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "greeter.py").write_text(
        PLUGIN
        + '@plugin.command("help")\nasync def help_too() -> str:\n    return ""\n\n'
        + '@plugin.job(cron="0 0 30 2 *")\nasync def never() -> None: ...\n'
    )
    write_bot(tmp_path, "./greeter.py")
    lines = command_line.run("check", "bot.toml").stderr.splitlines()
    assert any("'help'" in line for line in lines)
    assert any("never" in line for line in lines)


def test_handlers_may_ask_for_what_the_bot_gives(command_line: CommandLine, tmp_path: Path) -> None:
    asking = "from chatbot import PermissionControl\n" + PLUGIN
    asking = asking.replace("ctx: Context", "ctx: Context, control: PermissionControl")
    (tmp_path / "greeter.py").write_text(asking)
    write_bot(tmp_path, "./greeter.py")
    result = command_line.run("check", "bot.toml")
    assert (result.returncode, result.stderr) == (0, "")
