"""`[plugins.moderation]`: what holds in every group, until its moderators say otherwise."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from chatbot.plugins.builtin.moderation.links import normal_host
from chatbot.plugins.builtin.moderation.pace import MAX_KEPT
from chatbot.plugins.builtin.moderation.points import Step
from chatbot.plugins.builtin.moderation.words import MAX_PHRASE, is_phrase
from chatbot.plugins.durations import Rate, parse_duration, parse_rate


def _check_duration(text: str) -> str:
    parse_duration(text)
    return text


def _check_rate(text: str) -> str:
    if parse_rate(text).count >= MAX_KEPT:
        raise ValueError(f"expected fewer than {MAX_KEPT} messages")
    return text


def _check_phrase(text: str) -> str:
    if not is_phrase(text):
        raise ValueError(f"expected a word, or a phrase of up to {MAX_PHRASE}")
    return text


def _check_host(text: str) -> str:
    if (host := normal_host(text)) is None:
        raise ValueError("expected a host such as example.org")
    return host


Duration = Annotated[str, AfterValidator(_check_duration)]
Points = Annotated[int, Field(ge=0, le=100)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class StepConfig(_Section):
    """A step: `{ points = 5, action = "ban", lasts = "7d" }`; a ban without `lasts` is for good."""

    points: Annotated[int, Field(ge=1, le=1000)]
    action: Literal["kick", "ban"]
    lasts: Duration | None = None

    def step(self) -> Step:
        """The same for whoever counts."""
        lasts = None if self.lasts is None else parse_duration(self.lasts)
        return Step(points=self.points, sanction=self.action, lasts=lasts)


_DEFAULT_STEPS: Final = (
    StepConfig(points=3, action="kick"),
    StepConfig(points=5, action="ban", lasts="7d"),
)


class ModerationConfig(_Section):
    """What holds in every group.

    Attributes:
        steps: what follows from so many points.
        points_last: how long a warning counts.
        word_points: what one of the words costs; likewise the others.
        flood: more messages of one person than that are a flood.
        words: forbidden in all groups.
        hosts: that may be linked to in all groups.
        dry_run: say and log what would be done, and do nothing.
    """

    steps: tuple[StepConfig, ...] = Field(default=_DEFAULT_STEPS, max_length=20)
    points_last: Duration = "30d"
    word_points: Points = 1
    link_points: Points = 1
    flood_points: Points = 1
    slow_points: Points = 0
    flood: Annotated[str, AfterValidator(_check_rate)] = "8/10s"
    words: tuple[Annotated[str, AfterValidator(_check_phrase)], ...] = ()
    hosts: tuple[Annotated[str, AfterValidator(_check_host)], ...] = ()
    dry_run: bool = False

    @property
    def all_steps(self) -> tuple[Step, ...]:
        """The steps as they are counted with."""
        return tuple(step.step() for step in self.steps)

    @property
    def points_lifetime(self) -> int:
        """How long a warning counts, in ms."""
        return parse_duration(self.points_last)

    @property
    def flood_rate(self) -> Rate:
        """The rate as it is counted with."""
        return parse_rate(self.flood)
