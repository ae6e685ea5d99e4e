"""Who gets in: permissions, then cooldowns."""

from __future__ import annotations

from dataclasses import dataclass

from chatbot.plugins.access import Decision
from chatbot.plugins.durations import format_duration
from chatbot.plugins.endpoints import CommandEndpoint
from chatbot.runtime.access import Permissions
from chatbot.runtime.context import Incoming
from chatbot.runtime.dispatch import Target
from chatbot.runtime.limits import Cooldowns, TokenBuckets
from chatbot.runtime.metrics import Metrics
from chatbot.runtime.permissions import decide


@dataclass(slots=True)
class Admission:
    """Decides about every use of a command or filter.

    Attributes:
        told: so that being too fast is not answered too often either.
    """

    permissions: Permissions
    cooldowns: Cooldowns
    told: TokenBuckets
    metrics: Metrics

    def decide(self, endpoint: Target, incoming: Incoming) -> Decision:
        """Whether the writer may use it, and why; what is decided about commands is recorded."""
        rule, facts = endpoint.rule, incoming.facts
        decision = decide(incoming.policy, rule, facts)
        if isinstance(endpoint, CommandEndpoint):
            message_id = incoming.message.id
            self.permissions.decided(incoming.run.key, message_id, rule, facts, decision)
        return decision

    def refusal(self, endpoint: Target, incoming: Incoming, decision: Decision) -> str | None:
        """What is answered to who may not use it now: None where they may, empty for silence."""
        if not decision.allowed:
            self.metrics.refused[decision.outcome] += 1
            return f"Not done: {decision.because}."
        return self._too_fast(endpoint, incoming)

    def visible(self, endpoint: CommandEndpoint, incoming: Incoming) -> bool:
        """Whether the writer may know of that command."""
        return decide(incoming.policy, endpoint.rule, incoming.facts).outcome != "deny"

    def _too_fast(self, endpoint: Target, incoming: Incoming) -> str | None:
        if endpoint.limit is None or incoming.tried:
            return None
        user, chat = incoming.user.id, incoming.chat.id
        wait = self.cooldowns.take(endpoint.key, endpoint.limit, user=user, chat=chat)
        if not wait:
            return None
        self.metrics.refused["cooldown"] += 1
        if self.told.take(user):
            return ""
        return f"Too fast: try again in {format_duration(max(1000, round(wait, -3)))}."
