"""Who may do what: a pure function from what is known to a decision with its reasons.

Every rule is looked at, so that `/why` can tell all of them; one denial decides. What cannot be
evaluated is denied.

A message *proves* its writer where it came 1:1, encrypted, from the pinned identity. In a group
nothing is encrypted: there a proof is an encrypted 1:1 confirmation, or a backend that is believed
to check its sockets, or the configuration's word that groups are to be trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from chatbot.plugins.access import ChatKind, Decision, Grant, Reason, Role, Rule
from chatbot.plugins.people import GroupRole

_IN_GROUP: Final[Mapping[GroupRole, Role]] = MappingProxyType(
    {"owner": Role.ADMIN, "admin": Role.MODERATOR, "member": Role.MEMBER}
)


# What most messages meet, made once.
_RIGHT_CHAT: Final = Reason("chats", "pass", "it may be used in this kind of chat")
_NOT_DENIED: Final = Reason("denial", "pass", "nothing in the permission list denies it")
_UNCHANGED: Final = Reason("identity", "pass", "the sender's identity did not change")
_CHANGED: Final = Reason(
    "identity", "pass", "the sender's identity key changed and was not accepted: no role, no grants"
)
_ENOUGH: Final[Mapping[Role, Reason]] = MappingProxyType(
    {role: Reason("role", "allow", f"the role {role.name.lower()} is enough") for role in Role}
)
_RIGHT_PLACE: Final = Reason("place", "pass", "nothing speaks against the place")
_NO_PROOF_NEEDED: Final = Reason("proof", "pass", "it needs no proof of who wrote it")
_NOT_TO_BE_VERIFIED: Final = Reason("verified", "pass", "it needs no verified fingerprint")


class Facts(Struct, frozen=True, kw_only=True):
    """What is known of one message and its writer.

    Attributes:
        user: the id it claims to come from.
        chat: the group's id, or that same user id in 1:1.
        encrypted: whether the message came end-to-end encrypted.
        pinned: whether it came from the identity that is pinned for that user.
        changed: the user's identity changed and was not accepted yet.
        verified: the fingerprint of the pinned identity was verified.
        authenticated: the backend checks its sockets, and is believed.
        confirmed: this use was confirmed by an encrypted 1:1 message from the pinned identity.
        group_role: the user's role in the group, None in 1:1 and where it is not known.
    """

    user: str
    chat: str
    kind: ChatKind
    encrypted: bool = False
    pinned: bool = False
    changed: bool = False
    verified: bool = False
    authenticated: bool = False
    confirmed: bool = False
    group_role: GroupRole | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What was configured and granted. Immutable: an edit makes another.

    Attributes:
        roles: by user id; whoever is not in it is a member.
        grants: the permission list.
        trust_groups: `group_commands = "trust"`: who a group message says it is from, it is from.
    """

    roles: Mapping[str, Role] = field(default_factory=dict)
    grants: tuple[Grant, ...] = ()
    trust_groups: bool = False

    def with_grant(self, grant: Grant) -> Policy:
        """The same with one more line; itself where the line is there already."""
        return self if grant in self.grants else replace(self, grants=(*self.grants, grant))

    def without_grant(self, grant: Grant) -> Policy:
        """The same without that line."""
        return replace(self, grants=tuple(line for line in self.grants if line != grant))

    def with_role(self, user: str, role: Role) -> Policy:
        """The same with another role for somebody."""
        return replace(self, roles={**self.roles, user: role})


def claimed_role(policy: Policy, facts: Facts) -> Role:
    """The role of whoever the message says it is from; a changed identity has none."""
    if facts.changed:
        return Role.MEMBER
    in_group = _IN_GROUP[facts.group_role] if facts.group_role is not None else Role.MEMBER
    return max(policy.roles.get(facts.user, Role.MEMBER), in_group)


def is_proven(policy: Policy, facts: Facts) -> bool:
    """Whether the message proves who wrote it."""
    if facts.changed:
        return False
    if facts.kind == "direct":
        return facts.encrypted and facts.pinned
    return facts.confirmed or facts.authenticated or policy.trust_groups


def proven_role(policy: Policy, facts: Facts) -> Role:
    """The role that the message proves: member, where it does not prove who wrote it."""
    return claimed_role(policy, facts) if is_proven(policy, facts) else Role.MEMBER


def decide(policy: Policy, rule: Rule, facts: Facts) -> Decision:
    """Whether somebody may use a command, and why.

    Never raises: where a rule cannot be evaluated the answer is no.
    """
    try:
        reasons = _reasons(policy, rule, facts)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not let anybody in
        text = f"the rules could not be evaluated ({type(error).__name__})"
        return Decision("deny", (Reason("error", "deny", text),))
    verdicts = {reason.verdict for reason in reasons}
    if "deny" in verdicts:
        return Decision("deny", reasons)
    return Decision("confirm" if "confirm" in verdicts else "allow", reasons)


def _reasons(policy: Policy, rule: Rule, facts: Facts) -> tuple[Reason, ...]:
    return (
        _chats(rule, facts),
        _denials(policy, rule, facts),
        _CHANGED if facts.changed else _UNCHANGED,
        _role(policy, rule, facts),
        _place(rule, facts),
        _proof(policy, rule, facts),
        _verified(rule, facts),
    )


def _chats(rule: Rule, facts: Facts) -> Reason:
    if rule.chats in {"any", facts.kind}:
        return _RIGHT_CHAT
    where = "in groups" if rule.chats == "group" else "1:1"
    return Reason("chats", "deny", f"it can only be used {where}")


def _denials(policy: Policy, rule: Rule, facts: Facts) -> Reason:
    denial = _covering(policy, rule, facts, "deny")
    if denial is None:
        return _NOT_DENIED
    return Reason("denial", "deny", f"the permission list denies {denial.permission} here")


def _role(policy: Policy, rule: Rule, facts: Facts) -> Reason:
    role = claimed_role(policy, facts)
    if role >= rule.role:
        return _ENOUGH[role]
    grant = None if facts.changed else _covering(policy, rule, facts, "allow")
    if grant is not None:
        return Reason("grant", "allow", f"the permission list allows {grant.permission} here")
    return Reason("role", "deny", f"it takes the role {_name(rule.role)}, not {_name(role)}")


def _place(rule: Rule, facts: Facts) -> Reason:
    if rule.role is Role.OWNER and facts.kind == "group":
        return Reason("place", "deny", "commands for owners never run in groups")
    return _RIGHT_PLACE


def _proof(policy: Policy, rule: Rule, facts: Facts) -> Reason:
    # In 1:1 a role is worth nothing without a proof; in a group an author may say that it is.
    if not rule.privileged and (facts.kind == "group" or rule.role is Role.MEMBER):
        return _NO_PROOF_NEEDED
    if is_proven(policy, facts):
        return Reason("proof", "pass", f"who wrote it is proven: {_how(facts)}")
    if facts.changed:
        return Reason("proof", "deny", "the sender's identity key changed and was not accepted")
    if facts.kind == "direct":
        lack = "not encrypted" if not facts.encrypted else "not from the pinned identity"
        return Reason("proof", "deny", f"the message is {lack}")
    text = "anyone can forge a group message: an encrypted 1:1 message has to confirm it"
    return Reason("proof", "confirm", text)


def _how(facts: Facts) -> str:
    if facts.kind == "direct":
        return "encrypted, from the pinned identity"
    if facts.confirmed:
        return "confirmed by an encrypted message"
    return "the backend checks its sockets" if facts.authenticated else "groups are trusted"


def _verified(rule: Rule, facts: Facts) -> Reason:
    if not rule.verified:
        return _NOT_TO_BE_VERIFIED
    if not facts.verified or facts.changed:
        return Reason("verified", "deny", "the sender's fingerprint was not verified")
    if facts.kind == "direct" and facts.encrypted and facts.pinned:
        return Reason("verified", "pass", "the sender's fingerprint was verified")
    if facts.kind == "direct":
        return Reason("verified", "deny", "the message is not from the verified identity")
    # A checked socket or a trusted group says nothing about a key.
    if facts.confirmed:
        return Reason("verified", "pass", "confirmed by the verified identity")
    return Reason("verified", "confirm", "the verified identity has to confirm it")


def _covering(policy: Policy, rule: Rule, facts: Facts, effect: str) -> Grant | None:
    return next(
        (
            grant
            for grant in policy.grants
            if grant.effect == effect
            and grant.covers(rule.permission, user=facts.user, chat=facts.chat)
        ),
        None,
    )


def _name(role: Role) -> str:
    return role.name.lower()
