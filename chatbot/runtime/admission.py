"""Who gets in: permissions, then cooldowns."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from chatbot.plugins.access import Decision, Role
from chatbot.plugins.durations import format_duration
from chatbot.plugins.endpoints import CommandEndpoint
from chatbot.runtime.access import Permissions
from chatbot.runtime.context import Incoming
from chatbot.runtime.dispatch import Target
from chatbot.runtime.groups import GroupBook
from chatbot.runtime.limits import Cooldowns, TokenBuckets
from chatbot.runtime.metrics import Metrics
from chatbot.runtime.people import People
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
    people: People
    groups: GroupBook
    metrics: Metrics

    async def decide(self, endpoint: Target, incoming: Incoming) -> Decision:
        """Whether the writer may use it, and why; what is decided about commands is recorded."""
        await self._look_up(endpoint, incoming)
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

    async def _look_up(self, endpoint: Target, incoming: Incoming) -> None:
        """What is only asked for in groups where something depends on it."""
        rule, facts = endpoint.rule, incoming.facts
        plain = rule.role is Role.MEMBER and not rule.privileged and not rule.verified
        if facts.kind == "direct" or plain or facts.group_role is not None:
            return
        standing = await self.people.standing(facts.user)
        incoming.facts = msgspec.structs.replace(
            facts,
            group_role=await self.groups.role_of(facts.chat, facts.user),
            changed=standing.changed,
            verified=standing.verified,
        )

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
