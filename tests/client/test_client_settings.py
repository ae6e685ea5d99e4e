"""ClientSettings: from files, the environment and keywords; every mistake in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatbot.client.client import WhatsAppClient
from chatbot.client.exceptions import ValidationError
from chatbot.client.settings import ClientSettings

YAML = """
server:
  url: "https://chat.example"
connection:
  reconnect_delay: 5
crypto:
  prekey_minimum: 10
  session_timeout_days: 14
"""

TOML = """
[server]
url = "https://chat.example"
[connection]
reconnect_delay = 5
[crypto]
prekey_minimum = 10
session_timeout_days = 14
"""


@pytest.mark.parametrize(("name", "text"), [("c.yaml", YAML), ("c.yml", YAML), ("c.toml", TOML)])
def test_yaml_and_toml_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    options = ClientSettings.load(file).options()
    assert options.reconnect_delay == 5
    assert options.prekeys.minimum == 10
    assert options.messaging.session_timeout == 14 * 86_400_000


def test_keywords_win_over_the_environment_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(YAML)
    monkeypatch.setenv("WHATSAPP_CLIENT_CONNECTION__RECONNECT_DELAY", "7")
    assert ClientSettings.load(file).connection.reconnect_delay == 7
    settings = ClientSettings.load(file, connection={"reconnect_delay": 9})
    assert settings.connection.reconnect_delay == 9
    assert settings.crypto.prekey_minimum == 10


def test_a_client_is_made_from_settings() -> None:
    settings = ClientSettings.load(
        server={"url": "https://chat.example"}, connection={"auto_connect": False}
    )
    client = WhatsAppClient.from_settings(settings)
    assert client.server_url == "https://chat.example"
    assert not client.auto_connect


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("server: {url: 'https://x.example', foo: 1}", "server.foo: unknown key"),
        ("server: {url: 'http://x.example'}", "server.url: "),
        ("server: {url: 'https://x.example'}\nstorage: {encryption: false}", "always encrypted"),
        ("server: {url: 'https://x.example'}\nconnection: {reconnect_delay: soon}", "a number"),
        ("storage: {path: /tmp}", "server: missing"),
        ("server: [", "cannot be understood"),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(ValidationError, match=words):
        ClientSettings.load(file)


def test_a_file_that_is_not_there_or_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="cannot be read"):
        ClientSettings.load(tmp_path / "none.yaml")
    with pytest.raises(ValidationError, match="expected a"):
        ClientSettings.load(tmp_path / "settings.json")
