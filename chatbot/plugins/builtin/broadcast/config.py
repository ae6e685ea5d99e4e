"""`[plugins.broadcast]`: who is written to, and how fast."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from chatbot.plugins.durations import Rate, parse_rate


def _check_rate(text: str) -> str:
    parse_rate(text)
    return text


AudienceName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
Entry = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class BroadcastConfig(BaseModel):
    """What holds until an admin says otherwise.

    Attributes:
        audiences: named lists: user names or ids, and `group:NAME` for everybody in a group.
        open: audiences that anybody may join and leave: `/subscribe`, `/unsubscribe`.
        rate: how many messages of all broadcasts together are sent in how long.
        keep: how many broadcasts there are reports of.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    audiences: dict[AudienceName, tuple[Entry, ...]] = Field(default_factory=dict)
    open: tuple[AudienceName, ...] = ("subscribers",)
    rate: Annotated[str, AfterValidator(_check_rate)] = "20/10s"
    keep: Annotated[int, Field(ge=1, le=10_000)] = 100

    @property
    def sending_rate(self) -> Rate:
        """The rate as it is counted with."""
        return parse_rate(self.rate)
