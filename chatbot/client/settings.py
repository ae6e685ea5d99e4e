"""ClientSettings: SRS 9.2 from YAML, TOML, the environment or keywords.

A value given as a keyword wins over the environment (`WHATSAPP_CLIENT_SERVER__URL` for `url` of
`server`), the environment over the file, the file over the defaults here. An unknown key is an
error everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self, get_args

import pydantic
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic_core import PydanticKnownError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
    YamlConfigSettingsSource,
)
from yaml import YAMLError

from chatbot.client.crypto.key_manager import DAY, PrekeyPolicy
from chatbot.client.exceptions import ValidationError
from chatbot.client.messaging.messenger import HEAL_NOTICE, MessagingOptions
from chatbot.client.options import ClientOptions, ImagePolicy
from chatbot.client.transport.security import check_server_url
from chatbot.settings_errors import explain

ENV_PREFIX: Final = "WHATSAPP_CLIENT_"

_SOURCES: Final[Mapping[str, type[TomlConfigSettingsSource | YamlConfigSettingsSource]]] = (
    MappingProxyType(
        {
            ".toml": TomlConfigSettingsSource,
            ".yaml": YamlConfigSettingsSource,
            ".yml": YamlConfigSettingsSource,
        }
    )
)


class Section(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        """Refuse `threads = true`, which pydantic takes for 1, as Python does."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        numbers = {int, float} & {annotation, *get_args(annotation)}
        if isinstance(value, bool) and numbers:
            raise PydanticKnownError("float_type" if float in numbers else "int_type")
        return value


class ServerSection(Section):
    """`server`: the backend.

    Attributes:
        url: https://…; http:// only to this machine, or with `allow_insecure`.
        ws_url: the socket's URL where it is not the server's with `/ws`.
        allow_insecure: accept clear text to other machines.
        trusted: believe it when it says that it authenticates its sockets.
    """

    allow_insecure: bool = False
    url: str = Field(description="the backend's URL")
    ws_url: str | None = None
    trusted: bool = False

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str, info: pydantic.ValidationInfo) -> str:
        try:
            return check_server_url(url, allow_insecure=info.data.get("allow_insecure", False))
        except ValidationError as error:
            raise ValueError(str(error)) from None


class StorageSection(Section):
    """`storage`: where accounts lie. They are always sealed; `encryption: false` is refused."""

    path: Path = Path("~/.whatsapp_client")
    encryption: bool = True

    @field_validator("encryption")
    @classmethod
    def _is_not_optional(cls, encryption: bool) -> bool:
        if not encryption:
            raise ValueError("expected true: what is stored is always encrypted")
        return encryption


class ConnectionSection(Section):
    """`connection`: delays in seconds; no `max_reconnect_attempts` (null) means no end of them."""

    auto_connect: bool = True
    auto_reconnect: bool = True
    reconnect_delay: float = Field(default=3.0, ge=0.1, le=30)
    max_reconnect_attempts: int | None = Field(default=10, ge=0)


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


class LoggingSection(Section):
    """`logging`: for `configure_logging`; nothing is configured by reading this."""

    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = "INFO"
    file: Path | None = None


class CryptoSection(Section):
    """`crypto`: prekeys, sessions and identities; ages in days."""

    prekey_minimum: int = Field(default=20, ge=1, le=100)
    prekey_generation_count: int = Field(default=100, ge=1, le=200)
    prekey_rotation_days: float = Field(default=7, gt=0)
    session_timeout_days: float = Field(default=30, gt=0)
    use_one_time_prekeys: bool = False
    identity_policy: Literal["tofu", "pinned", "ask"] = "tofu"

    def prekeys(self) -> PrekeyPolicy:
        """How many prekeys there are, and for how long."""
        return PrekeyPolicy(
            target=self.prekey_generation_count,
            minimum=min(self.prekey_minimum, self.prekey_generation_count),
            rotation=_days(self.prekey_rotation_days),
        )


class MessagesSection(Section):
    """`messages`: pictures, the healing notice (empty for none), and ages in days."""

    images: ImagePolicy = "auto"
    heal_notice: str = HEAL_NOTICE
    history_days: float = Field(default=30, gt=0)
    outbox_days: float = Field(default=7, gt=0)

    def options(self, crypto: CryptoSection) -> MessagingOptions:
        """Both sections as the engine takes them."""
        return MessagingOptions(
            heal_notice=self.heal_notice or None,
            identity_policy=crypto.identity_policy,
            use_one_time_prekeys=crypto.use_one_time_prekeys,
            session_timeout=_days(crypto.session_timeout_days),
            history_age=_days(self.history_days),
            outbox_age=_days(self.outbox_days),
        )


class ClientSettings(BaseSettings):
    """Everything that a client can be told. Made by `load`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    server: ServerSection = Field(description="a section `server` with at least `url`")
    storage: StorageSection = StorageSection()
    connection: ConnectionSection = ConnectionSection()
    logging: LoggingSection = LoggingSection()
    crypto: CryptoSection = CryptoSection()
    messages: MessagesSection = MessagesSection()

    def __init__(self, file: Path | None = None, /, **sections: Any) -> None:
        """Use `load`."""
        super().__init__(_file=file, **sections)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources; the file's name is among the keywords."""
        del dotenv_settings, file_secret_settings
        sections = init_settings()
        file = sections.pop("_file", None)
        sources = InitSettingsSource(settings_cls, sections), env_settings
        if file is None:
            return sources
        return *sources, _SOURCES[file.suffix](settings_cls, file)

    @classmethod
    def load(cls, file: str | Path | None = None, **sections: Any) -> Self:
        """Read settings; a section given as a keyword wins over the same keys elsewhere.

        Args:
            file: a .yaml, .yml or .toml file; none means only environment and keywords.
            sections: e.g. `server={"url": "https://chat.example"}`.

        Raises:
            ValidationError: the file cannot be read, or a key or value in it is wrong.
        """
        path = None if file is None else Path(file).expanduser()
        if path is not None and path.suffix not in _SOURCES:
            raise ValidationError(f"{path}: expected a .yaml, .yml or .toml file")
        try:
            if path is not None:
                path.open("rb").close()  # pydantic-settings passes over a file that is not there
            return cls(path, **sections)
        except OSError as error:
            raise ValidationError(f"{path} cannot be read: {error.strerror}") from error
        except pydantic.ValidationError as error:
            raise ValidationError(_in_words(error, cls, path)) from None
        except (ValueError, YAMLError) as error:
            raise ValidationError(f"{path} cannot be understood: {error}") from None

    def options(self) -> ClientOptions:
        """The same as a client takes it."""
        return ClientOptions(
            ws_url=self.server.ws_url,
            allow_insecure=self.server.allow_insecure,
            trusted_server=self.server.trusted,
            auto_reconnect=self.connection.auto_reconnect,
            reconnect_delay=self.connection.reconnect_delay,
            max_reconnect_attempts=self.connection.max_reconnect_attempts,
            images=self.messages.images,
            messaging=self.messages.options(self.crypto),
            prekeys=self.crypto.prekeys(),
        )


def _days(days: float) -> int:
    return round(days * DAY)


def _in_words(
    error: pydantic.ValidationError, settings: type[ClientSettings], file: Path | None
) -> str:
    source = file or Path("settings")
    details = error.errors(include_url=False)
    problems = [explain(d, settings, file=source, variables=_variables()) for d in details]
    return "\n".join(map(str, problems))


def _variables() -> dict[tuple[str, ...], str]:
    """Which environment variable gave the value of a key."""
    return {
        tuple(name.removeprefix(ENV_PREFIX).lower().split("__")): name
        for name in os.environ
        if name.startswith(ENV_PREFIX)
    }
