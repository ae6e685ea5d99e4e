from __future__ import annotations

import os
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from chatbot.settings import BotSettings, load_settings
from chatbot.settings_errors import SettingsError, SettingsProblem

MINIMAL = '[bot]\nname = "demo"\n'


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("CHATBOT_"):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    return tmp_path / "config" / "bot.toml"


def loaded(file: Path, text: str) -> BotSettings:
    file.write_text(text, encoding="utf-8")
    return load_settings(file)


def problems(file: Path, text: str) -> dict[str, str]:
    """What is wrong with a file, by key."""
    with pytest.raises(SettingsError) as caught:
        loaded(file, text)
    return {problem.key: problem.message for problem in caught.value.problems}


def test_a_name_is_enough(file: Path) -> None:
    settings = loaded(file, MINIMAL)
    assert settings.bot.name == "demo"
    assert settings.bot.prefix == "/"
    assert settings.bot.owners == ()
    assert settings.bot.timezone == ZoneInfo("UTC")
    assert settings.server.embedded
    assert settings.server.port == 8787
    assert settings.storage.path == file.parent / "storage"
    assert settings.plugins.load == ()
    assert settings.logging.level == "INFO"


def test_the_whole_of_a_file_is_read(file: Path) -> None:
    settings = loaded(
        file,
        """
        [bot]
        name = "Robo Bot"
        prefix = "!"
        owners = ["alice", "7d3f"]
        register = true
        password_file = "secret"
        timezone = "Europe/Berlin"
        group_commands = "trust"
        [server]
        url = "https://chat.example/base/"
        trusted = true
        [storage]
        path = "../data"
        [plugins]
        load = ["dice", "./local.py"]
        [plugins.dice]
        sides = 20
        names = ["a"]
        [logging]
        level = "debug"
        file = "logs/bot.log"
        """,
    )
    assert settings.bot.owners == ("alice", "7d3f")
    assert settings.bot.timezone == ZoneInfo("Europe/Berlin")
    assert settings.bot.group_commands == "trust"
    assert settings.server.url == "https://chat.example/base"
    assert settings.server.trusted
    assert not settings.server.embedded
    assert settings.plugins.load == ("dice", "./local.py")
    assert settings.plugins.tables == {"dice": {"sides": 20, "names": ["a"]}}
    assert settings.logging.level == "DEBUG"


@pytest.mark.parametrize(
    ("url", "register", "expected"),
    [
        ("embedded", "", True),
        ("embedded", "register = false", False),
        ("https://chat.example", "", False),
        ("https://chat.example", "register = true", True),
    ],
)
def test_a_bot_registers_itself_with_its_own_backend_only(
    file: Path, url: str, register: str, expected: bool
) -> None:
    settings = loaded(file, f'{MINIMAL}{register}\n[server]\nurl = "{url}"\n')
    assert settings.registers is expected


def test_relative_paths_count_from_the_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(
        f'{MINIMAL}password_file = "p"\n[storage]\npath = "../var/x"\n[logging]\nfile = "~/log"\n'
    )
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    settings = load_settings(Path("config/bot.toml"))
    assert settings.bot.password_file == tmp_path / "config" / "p"
    assert settings.storage.path == tmp_path / "var" / "x"
    assert settings.logging.file == tmp_path / "home" / "log"


def test_the_environment_wins_over_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATBOT_BOT__OWNERS", "alice, bob,")
    monkeypatch.setenv("CHATBOT_BOT__REGISTER", "false")
    monkeypatch.setenv("CHATBOT_SERVER__PORT", "9999")
    monkeypatch.setenv("CHATBOT_PLUGINS__DICE__SIDES", "4")
    monkeypatch.setenv("CHATBOT_STORAGE__PATH", "elsewhere")
    text = f'{MINIMAL}owners = ["eve"]\n[server]\nport = 1\n[plugins.dice]\ncount = 2\n'
    settings = loaded(file, text)
    assert settings.bot.name == "demo"
    assert settings.bot.owners == ("alice", "bob")
    assert settings.registers is False
    assert settings.server.port == 9999
    assert settings.plugins.tables == {"dice": {"sides": "4", "count": 2}}
    assert settings.storage.path == file.parent / "elsewhere"


def test_passwords_in_the_environment_are_no_settings(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHATBOT_PASSWORD", "hunter2hunter2")
    monkeypatch.setenv("CHATBOT_STORAGE_PASSWORD", "hunter3hunter3")
    assert "hunter" not in repr(loaded(file, MINIMAL))


def test_every_problem_is_told_at_once_with_its_key(file: Path) -> None:
    found = problems(
        file,
        """
        shout = true
        [bot]
        nam = "demo"
        prefix = "a b"
        owners = ["alice", 7]
        register = "perhaps"
        timezone = "Moon/Base"
        group_commands = "always"
        [server]
        port = 70000
        url = "http://chat.example"
        [plugins]
        load = 3
        dice = 4
        [[logging]]
        level = "LOUD"
        """,
    )
    assert found == {
        "shout": f"unknown key; expected one of {', '.join(BotSettings.model_fields)}",
        "bot.name": "missing; expected the user name of the bot's account",
        "bot.nam": "unknown key; did you mean name?",
        "bot.prefix": "expected 1 to 5 characters and no space, got 'a b'",
        "bot.owners[1]": "expected a string, got 7",
        "bot.register": "expected true or false, got 'perhaps'",
        "bot.timezone": "expected a time zone such as \"Europe/Berlin\", got 'Moon/Base'",
        "bot.group_commands": "expected 'confirm' or 'trust', got 'always'",
        "server.port": "expected less than or equal to 65535, got 70000",
        "server.url": "Refusing to talk to chat.example in clear text: use https://, or allow it "
        "(allow_insecure = true, --allow-insecure) if this network is yours alone",
        "plugins.load": "expected an array, got 3",
        "plugins.dice": "expected a table, got 4",
        "logging": "expected a table, got an array",
    }


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("", "bot", 'missing; expected a table [bot] with at least name = "…"'),
        ("bot = 3", "bot", "expected a table, got 3"),
        ("bot = {name = 'x'}", "bot.name", "expected at least 3 characters, got 'x'"),
        ("bot = {name = {a = 1}}", "bot.name", "expected a string, got a table"),
        (f"{MINIMAL}prefix = ''", "bot.prefix", "expected 1 to 5 characters and no space, got ''"),
        (f"{MINIMAL}[storage]\npath = 1", "storage.path", "expected a path, got 1"),
        (f"{MINIMAL}[http]\nhost = '192.0.2.1'", "http.host", "beyond this machine: expected a"),
        (f"{MINIMAL}[http]\nkey = 'k.pem'", "http.key", "`certificate` and `key` together"),
        (f"{MINIMAL}[messages]\nimages = 'no'", "messages.images", "'encrypted' or 'browser'"),
        (f"{MINIMAL}[crypto]\nprekey_minimum = 0", "crypto.prekey_minimum", "equal to 1, got 0"),
        (f"{MINIMAL}[server]\nport = 1.5", "server.port", "expected a whole number, got 1.5"),
        (f"{MINIMAL}[limits]\ntries = true", "limits.tries", "expected a whole number, got true"),
        (f"{MINIMAL}[http]\nport = false", "http.port", "expected a whole number, got false"),
        (f"{MINIMAL}[server]\nurl = 'chat'", "server.url", "'chat' is no server URL: expected"),
        (f"{MINIMAL}timezone = '{'x' * 99}'", "bot.timezone", f"got '{'x' * 59}…"),
        ("bot = \n", "", "is not TOML: Invalid value (at line 1, column 7)"),
        (f"a = {'[' * 5000}", "", "is not TOML"),
    ],
)
def test_what_is_wrong_is_said_in_words(file: Path, text: str, key: str, message: str) -> None:
    assert message in problems(file, text)[key]


def test_http_in_clear_is_possible_where_the_config_says_so(file: Path) -> None:
    server = "[server]\nallow_insecure = true\nurl = 'http://chat.example'"
    assert loaded(file, MINIMAL + server).server.url == "http://chat.example"


@pytest.mark.parametrize("key", ["password", "passwd", "secret", "api_key", "token"])
def test_a_secret_in_the_wrong_place_is_not_shown(file: Path, key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(file, f'{MINIMAL}{key} = "hunter2"\n')
    assert "see password_file" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_value_of_a_wrong_type_for_a_secret_is_not_shown(file: Path) -> None:
    assert problems(file, f"{MINIMAL}password_file = 12345") == {
        "bot.password_file": "expected a path, got something else (not shown)"
    }


def test_a_password_in_an_url_is_not_shown(file: Path) -> None:
    found = problems(file, f"{MINIMAL}[server]\nurl = 'https://me:hunter2@chat.example'")
    assert found == {"server.url": "Expected a server URL without user name, query or fragment"}


def test_a_problem_names_the_variable_it_comes_from(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHATBOT_SERVER__PORT", "many")
    monkeypatch.setenv("CHATBOT_BOT__NAMED", "x")
    monkeypatch.setenv("CHATBOT_BOTT__NAME", "x")
    sections = ", ".join(BotSettings.model_fields)
    with pytest.raises(SettingsError) as caught:
        loaded(file, MINIMAL)
    assert set(str(caught.value).splitlines()) == {
        "CHATBOT_SERVER__PORT: server.port: expected a whole number, got 'many'",
        "CHATBOT_BOT__NAMED: bot.named: unknown key; did you mean name?",
        f"CHATBOT_BOTT__NAME: no such section; expected one of {sections}",
    }


@pytest.mark.parametrize("name", ["CHATBOT_SERVER", "CHATBOT_BOT__PREFIXES"])
def test_a_variable_that_cannot_be_read_is_named(
    file: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "no JSON")
    with pytest.raises(SettingsError, match=f"{name} cannot be read: expected a variable for each"):
        loaded(file, MINIMAL)


def test_an_unreadable_file_is_told(file: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"bot\.toml: cannot be read: No such file"):
        load_settings(file)
    with pytest.raises(SettingsError, match=r"config: cannot be read: "):
        load_settings(tmp_path / "config")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="is not text in UTF-8"):
        load_settings(file)


def test_an_unknown_home_is_told(file: Path) -> None:
    found = problems(file, f"{MINIMAL}[storage]\npath = '~nobody-of-that-name/x'")
    assert "home" in found[""]


def test_settings_cannot_be_changed(file: Path) -> None:
    settings = loaded(file, MINIMAL)
    with pytest.raises(ValueError, match="frozen"):
        settings.server.port = 1
    with pytest.raises(ValueError, match="frozen"):
        settings.bot = settings.bot


def test_a_problem_without_a_key_is_about_the_file() -> None:
    assert str(SettingsProblem("bot.toml", "", "is odd")) == "bot.toml: is odd"
    assert str(SettingsProblem("bot.toml", "bot.name", "is odd")) == "bot.toml: bot.name: is odd"
