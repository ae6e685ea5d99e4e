"""config.toml as pydantic-settings models: `BotSettings`, read by `load_settings`.

A value comes from the environment (`CHATBOT_SERVER__URL` for `url` of `[server]`), else from the
file, else from the defaults here. An unknown key is an error everywhere. A new section is one more
`Section` and a field of `BotSettings`; relative paths in it count from the file by themselves.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as SourceError

from chatbot.client import exceptions
from chatbot.client.settings import CryptoSection, MessagesSection
from chatbot.client.settings import Section as PlainSection
from chatbot.client.transport.security import check_server_url, is_loopback
from chatbot.settings_errors import SettingsError, SettingsProblem, explain

EMBEDDED: Final = "embedded"
"""The `[server] url` of a bot that brings its own backend."""

_PREFIX: Final = "CHATBOT_"
_DELIMITER: Final = "__"
_LONGEST_PREFIX: Final = 5
_RATE: Final = re.compile(r"[1-9][0-9]{0,5}/[1-9][0-9]{0,5}(ms|s|m|h|d)", re.ASCII)


def _split(value: Any) -> Any:
    """Take `a, b` for a list: the environment has no arrays."""
    if not isinstance(value, str):
        return value
    return [item for item in map(str.strip, value.split(",")) if item]


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _check_prefix(value: str) -> str:
    if not 0 < len(value) <= _LONGEST_PREFIX or any(map(str.isspace, value)):
        raise ValueError(f"expected 1 to {_LONGEST_PREFIX} characters and no space, got {value!r}")
    return value


def _check_rate(value: str) -> str:
    if _RATE.fullmatch(value) is None:
        raise ValueError(f'expected a rate such as "20/10s", got {value!r}')
    return value


Strings = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


Rate = Annotated[str, AfterValidator(_check_rate)]


class Section(PlainSection):
    """A table of config.toml."""

    model_config = ConfigDict(validate_default=True)

    def anchored(self, directory: Path) -> Self:
        """Return it with every relative path counted from `directory`; `~` is the user's home."""
        paths = {
            name: (directory / value.expanduser()).resolve()
            for name, value in self
            if isinstance(value, Path)
        }
        return self.model_copy(update=paths)


class BotSection(Section):
    """`[bot]`: who the bot is, and whom it obeys.

    Attributes:
        name: the user name of its account, 3 to 100 characters.
        prefix: what a command begins with.
        prefixes: another prefix for a group, by the group's id.
        owners: user ids, or user names (pinned to an identity when first met), or fingerprints.
        admins, moderators: the same, for those who may do less.
        registers: (`register`) create the account where it does not exist; None means with the
            embedded backend only, see `BotSettings.registers`.
        password_file: holds the account's password, and is made where the bot registers.
        timezone: for dates, times and the schedules of jobs.
        group_commands: how privileged commands of a group prove who wrote them: by a confirmation
            in an encrypted 1:1 message, or not at all where the backend is trusted with it.
    """

    name: str = Field(
        min_length=3, max_length=100, description="the user name of the bot's account"
    )
    prefix: Annotated[str, AfterValidator(_check_prefix)] = "/"
    prefixes: dict[str, Annotated[str, AfterValidator(_check_prefix)]] = Field(default_factory=dict)
    owners: Strings = ()
    admins: Strings = ()
    moderators: Strings = ()
    registers: bool | None = Field(default=None, alias="register")
    password_file: Path | None = None
    timezone: ZoneInfo = ZoneInfo("UTC")
    group_commands: Literal["confirm", "trust"] = "confirm"


class ServerSection(Section):
    """`[server]`: the backend.

    Attributes:
        allow_insecure: accept http:// to other machines, where everybody on the way reads along.
        url: `embedded`, or where it is: https://chat.example.
        port: the embedded backend's; 0 takes any that is free.
        trusted: believe it when it says that it authenticates its sockets.
    """

    allow_insecure: bool = False
    url: str = EMBEDDED
    port: int = Field(default=8787, ge=0, le=65535)
    trusted: bool = False

    @property
    def embedded(self) -> bool:
        """Whether the bot brings the backend along."""
        return self.url == EMBEDDED

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str, info: ValidationInfo) -> str:
        if url == EMBEDDED:
            return url
        try:
            return check_server_url(url, allow_insecure=info.data.get("allow_insecure", False))
        except exceptions.ValidationError as error:
            raise ValueError(str(error)) from None


class StorageSection(Section):
    """`[storage]`: where accounts, keys and messages are kept, and the embedded backend's data.

    Attributes:
        password_file: holds the password of what is on the disk, where it is not the account's.
        keep_days: how many days messages are kept, and notes of what was received; None for ever.
            What still waits for its handlers, or to be delivered, is kept longer.
    """

    path: Path = Path("storage")
    password_file: Path | None = None
    keep_days: int | None = Field(default=None, ge=1, le=36_500)


class PluginsSection(Section):
    """`[plugins]`: which are loaded; and a table for each, read by the plugin's own model.

    Attributes:
        load: modules, entry points, and files (`./dice.py`).
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, dict[str, Any]] = Field(init=False)

    load: Strings = ()

    @property
    def tables(self) -> Mapping[str, Mapping[str, Any]]:
        """`[plugins.NAME]` by NAME, as it stands in the file."""
        return self.__pydantic_extra__


class LimitsSection(Section):
    """`[limits]`: what bounds handlers, and those who write.

    Attributes:
        user, chat: how many messages of one user, and of one chat, are handled: `20/10s`; what
            comes faster is passed over. Without, everything is handled.
        handler_seconds: how long a handler may take that says nothing of it.
        tries: how often a message is tried whose handler fails, before it is parked.
        threads: how many blocking handlers run at once.
    """

    user: Rate | None = None
    chat: Rate | None = None
    handler_seconds: float = Field(default=30, gt=0, le=3600)
    tries: int = Field(default=3, ge=1, le=20)
    threads: int = Field(default=8, ge=1, le=64)


class HttpSection(Section):
    """`[http]`: the endpoint for `/healthz`, `/readyz` and `/metrics`; off without a `port`.

    Attributes:
        port: where it listens; 0 takes any that is free.
        certificate, key: PEM files. Without them it listens to this machine only.
        host: the address to listen on.
        token_file: what has to be shown as `Authorization: Bearer …`; made (0600) where there is
            none. By default `http.token` under `[storage] path`.
    """

    port: int | None = Field(default=None, ge=0, le=65535)
    certificate: Path | None = None
    key: Path | None = None
    host: str = "127.0.0.1"
    token_file: Path | None = None

    @field_validator("key")
    @classmethod
    def _comes_with_its_certificate(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if "certificate" in info.data and (key is None) != (info.data["certificate"] is None):
            raise ValueError("expected `certificate` and `key` together, or neither")
        return key

    @field_validator("host")
    @classmethod
    def _is_private_or_secure(cls, host: str, info: ValidationInfo) -> str:
        if info.data.get("certificate") is None and not is_loopback(host):
            raise ValueError(
                f"{host!r} is beyond this machine: expected a `certificate` and its `key` with it"
            )
        return host


class LoggingSection(Section):
    """`[logging]`: how much is said, and where besides the terminal."""

    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = "INFO"
    file: Path | None = None


class BotSettings(BaseSettings):
    """A whole config.toml. Made by `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter=_DELIMITER,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    bot: BotSection = Field(description='a table [bot] with at least name = "…"')
    server: ServerSection = ServerSection()
    storage: StorageSection = StorageSection()
    plugins: PluginsSection = PluginsSection()
    limits: LimitsSection = LimitsSection()
    messages: MessagesSection = MessagesSection()
    crypto: CryptoSection = CryptoSection()
    http: HttpSection = HttpSection()
    logging: LoggingSection = LoggingSection()

    def __init__(self, file: Path) -> None:
        super().__init__(file=file)

    @property
    def registers(self) -> bool:
        """Whether the first start creates the account."""
        return self.server.embedded if self.bot.registers is None else self.bot.registers

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then the file. The one keyword argument says which file."""
        del dotenv_settings, file_secret_settings
        return env_settings, TomlConfigSettingsSource(settings_cls, init_settings()["file"])


def load_settings(file: Path) -> BotSettings:
    """Read and check a config.toml.

    Raises:
        SettingsError: it cannot be read, is not TOML, or something in it is wrong.
    """
    variables = _variables(os.environ)
    problems = _unknown_sections(variables)
    try:
        settings = _read(file)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            problems.append(explain(details, BotSettings, file=file, variables=variables))
    if problems:
        raise SettingsError(problems)
    return settings


def _read(file: Path) -> BotSettings:
    try:
        with file.open("rb"):  # pydantic-settings passes over a file that is not there
            settings = BotSettings(file)
        return _anchored(settings, file.absolute().parent)
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    except SourceError:
        reason = (
            f"{_given(os.environ)} cannot be read: expected a variable for each key, such as "
            "CHATBOT_SERVER__URL, and JSON where the key is a table"
        )
    except UnicodeDecodeError as error:
        reason = f"is not text in UTF-8 (byte {error.start})"
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        reason = f"is not TOML: {error}"
    except RuntimeError as error:
        reason = str(error)  # the home directory of a ~ in a path is not known
    raise SettingsError([SettingsProblem(str(file), "", reason)])


def _anchored(settings: BotSettings, directory: Path) -> BotSettings:
    sections = {
        name: section.anchored(directory)
        for name, section in settings
        if isinstance(section, Section)
    }
    return settings.model_copy(update=sections)


def _variables(environ: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """Return which environment variable stands for which key; those without a `__` are no keys."""
    return {
        tuple(name.removeprefix(_PREFIX).lower().split(_DELIMITER)): name
        for name in environ
        if name.startswith(_PREFIX) and _DELIMITER in name
    }


def _given(environ: Mapping[str, str]) -> str:
    """Name the variables that stand for a section, or for something in one."""
    sections = tuple(f"{_PREFIX}{name.upper()}" for name in BotSettings.model_fields)
    return ", ".join(name for name in environ if name.split(_DELIMITER)[0].upper() in sections)


def _unknown_sections(variables: Mapping[tuple[str, ...], str]) -> list[SettingsProblem]:
    known = BotSettings.model_fields
    return [
        SettingsProblem(variable, "", f"no such section; expected one of {', '.join(known)}")
        for (section, *_), variable in variables.items()
        if section not in known
    ]
