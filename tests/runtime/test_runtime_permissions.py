from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.plugins.access import Decision, Grant, Role, Rule
from chatbot.runtime.permissions import (
    Facts,
    Policy,
    claimed_role,
    decide,
    is_proven,
    proven_role,
)

OWNER, MOD = "owner-id", "mod-id"
POLICY = Policy(roles={OWNER: Role.OWNER, MOD: Role.MODERATOR})
OPEN = Rule(permission="dice.roll")
BAN = Rule(permission="mod.ban", role=Role.MODERATOR, privileged=True)
STOP = Rule(permission="admin.stop", role=Role.OWNER, privileged=True)


def direct(user: str = "alice-id", **facts: Any) -> Facts:
    return Facts(
        user=user, chat=user, kind="direct", **{"encrypted": True, "pinned": True, **facts}
    )


def group(user: str = "alice-id", **facts: Any) -> Facts:
    return Facts(user=user, chat="team-id", kind="group", **facts)


def outcome(rule: Rule, facts: Facts, policy: Policy = POLICY) -> str:
    return decide(policy, rule, facts).outcome


def test_ordinary_commands_are_for_everybody() -> None:
    for facts in (direct(), direct(encrypted=False), group(), group(changed=True)):
        assert outcome(OPEN, facts) == "allow"


def test_commands_stay_where_they_belong() -> None:
    assert outcome(Rule(permission="a", chats="group"), direct()) == "deny"
    assert outcome(Rule(permission="a", chats="direct"), group()) == "deny"
    assert outcome(Rule(permission="a", chats="group"), group()) == "allow"


def test_roles_are_asked_for() -> None:
    assert outcome(BAN, direct()) == "deny"
    assert outcome(BAN, direct(MOD)) == "allow"
    assert outcome(STOP, direct(MOD)) == "deny"
    assert outcome(STOP, direct(OWNER)) == "allow"


def test_a_privileged_command_in_a_direct_chat_comes_encrypted_and_pinned() -> None:
    trusting = Policy(roles=POLICY.roles, trust_groups=True)
    assert outcome(BAN, direct(MOD, encrypted=False)) == "deny"
    assert outcome(BAN, direct(MOD, pinned=False)) == "deny"
    assert outcome(BAN, direct(MOD, encrypted=False, authenticated=True)) == "deny"
    assert outcome(BAN, direct(MOD, encrypted=False), trusting) == "deny"
    weak = Rule(permission="mod.list", role=Role.MODERATOR, privileged=False)
    assert outcome(weak, direct(MOD, encrypted=False)) == "deny"


def test_a_changed_identity_has_no_privileges() -> None:
    policy = POLICY.with_grant(Grant(effect="allow", permission="*", user=MOD))
    for facts in (direct(MOD, changed=True), group(MOD, changed=True, confirmed=True)):
        assert outcome(BAN, facts, policy) == "deny"
        assert outcome(OPEN, facts, policy) == "allow"
        assert proven_role(policy, facts) is Role.MEMBER


def test_in_groups_a_privileged_command_is_confirmed_or_believed() -> None:
    assert outcome(BAN, group(MOD)) == "confirm"
    assert outcome(BAN, group(MOD, confirmed=True)) == "allow"
    assert outcome(BAN, group(MOD, authenticated=True)) == "allow"
    trusting = Policy(roles=POLICY.roles, trust_groups=True)
    assert outcome(BAN, group(MOD), trusting) == "allow"
    assert outcome(BAN, group(), trusting) == "deny"


def test_an_author_may_believe_a_group_where_nothing_is_at_stake() -> None:
    weak = Rule(permission="mod.list", role=Role.MODERATOR, privileged=False)
    assert outcome(weak, group(MOD)) == "allow"
    assert outcome(weak, group()) == "deny"


def test_owner_commands_never_run_in_groups() -> None:
    for facts in (group(OWNER), group(OWNER, confirmed=True), group(OWNER, authenticated=True)):
        assert outcome(STOP, facts) == "deny"
    granted = POLICY.with_grant(Grant(effect="allow", permission="*"))
    assert outcome(STOP, group(OWNER, confirmed=True), granted) == "deny"


def test_group_roles_count_in_their_group_only() -> None:
    assert claimed_role(POLICY, group(group_role="owner")) is Role.ADMIN
    assert claimed_role(POLICY, group(group_role="admin")) is Role.MODERATOR
    assert claimed_role(POLICY, group(group_role="member")) is Role.MEMBER
    assert claimed_role(POLICY, group(OWNER, group_role="member")) is Role.OWNER
    assert outcome(BAN, group(group_role="admin", confirmed=True)) == "allow"
    assert outcome(STOP, group(group_role="owner", confirmed=True)) == "deny"


def test_a_role_is_proven_only_with_the_message() -> None:
    assert proven_role(POLICY, direct(MOD)) is Role.MODERATOR
    assert proven_role(POLICY, direct(MOD, encrypted=False)) is Role.MEMBER
    assert proven_role(POLICY, group(MOD)) is Role.MEMBER
    assert proven_role(POLICY, group(MOD, authenticated=True)) is Role.MODERATOR


def test_a_verified_fingerprint_can_be_asked_for() -> None:
    rule = Rule(permission="vault.open", verified=True)
    assert outcome(rule, direct()) == "deny"
    assert outcome(rule, direct(verified=True)) == "allow"
    assert outcome(rule, direct(verified=True, encrypted=False)) == "deny"
    assert outcome(rule, direct(verified=True, changed=True)) == "deny"
    assert outcome(rule, group(verified=True, authenticated=True)) == "confirm"
    assert outcome(rule, group(verified=True, confirmed=True)) == "allow"
    assert outcome(rule, group(confirmed=True)) == "deny"


def test_grants_let_people_in_and_denials_keep_them_out() -> None:
    allow = Grant(effect="allow", permission="mod.ban", user="alice-id")
    assert outcome(BAN, direct(), POLICY.with_grant(allow)) == "allow"
    assert outcome(BAN, direct(encrypted=False), POLICY.with_grant(allow)) == "deny"
    assert outcome(BAN, direct("bob-id"), POLICY.with_grant(allow)) == "deny"
    deny = Grant(effect="deny", permission="dice.*", chat="team-id")
    assert outcome(OPEN, group(), POLICY.with_grant(deny)) == "deny"
    assert outcome(OPEN, group(OWNER), POLICY.with_grant(deny)) == "deny"
    assert outcome(OPEN, direct(), POLICY.with_grant(deny)) == "allow"


@pytest.mark.parametrize(
    ("pattern", "permission", "expected"),
    [
        ("dice.roll", "dice.roll", True),
        ("dice.*", "dice.roll", True),
        ("dice.tag.*", "dice.tag.add", True),
        ("*", "anything.at.all", True),
        ("dice", "dice.roll", False),
        ("dice.*", "dicey.roll", False),
        ("dice.*", "dice", False),
        ("dice.roll.*", "dice.roll", False),
    ],
)
def test_patterns(pattern: str, permission: str, expected: bool) -> None:
    grant = Grant(effect="deny", permission=pattern)
    assert grant.covers(permission, user="a", chat="b") is expected


def test_the_permission_list_is_edited_by_making_another() -> None:
    grant = Grant(effect="deny", permission="dice.*")
    edited = POLICY.with_grant(grant)
    assert edited.grants == (grant,)
    assert edited.with_grant(grant) is edited
    assert edited.without_grant(grant) == POLICY
    assert POLICY.grants == ()
    assert POLICY.with_role("new-id", Role.ADMIN).roles["new-id"] is Role.ADMIN


def test_every_rule_is_explained() -> None:
    decision = decide(POLICY, BAN, group(MOD))
    assert [line.rpartition(" (")[2] for line in decision.explain()[:-1]] == [
        "chats)",
        "denial)",
        "identity)",
        "role)",
        "place)",
        "proof)",
        "verified)",
    ]
    assert decision.explain()[3] == "allow: the role moderator is enough (role)"
    assert decision.explain()[-1] == "outcome: confirm"
    assert decision.because.startswith("anyone can forge")
    assert not decision.allowed
    denied = decide(POLICY, STOP, direct(MOD))
    assert denied.because == "it takes the role owner, not moderator"
    assert decide(POLICY, OPEN, direct()).because == "it needs no verified fingerprint"
    assert Decision("deny", ()).because == ""


def test_what_cannot_be_evaluated_is_denied() -> None:
    for broken in (
        Policy(roles=cast("Any", None)),
        Policy(grants=cast("Any", [None])),
        Policy(roles={"alice-id": cast("Any", "king")}),
    ):
        decision = decide(broken, BAN, direct())
        assert decision.outcome == "deny"
        assert "could not be evaluated" in decision.because


IDS = st.sampled_from(["alice-id", OWNER, MOD, "team-id"])
PERMISSIONS = st.sampled_from(["dice.roll", "mod.ban", "admin.stop"])
RULES = st.builds(
    Rule,
    permission=PERMISSIONS,
    chats=st.sampled_from(["any", "direct", "group"]),
    role=st.sampled_from(Role),
    privileged=st.booleans(),
    verified=st.booleans(),
)
GRANTS = st.builds(
    Grant,
    effect=st.sampled_from(["allow", "deny"]),
    permission=st.one_of(PERMISSIONS, st.sampled_from(["*", "dice.*", "mod.*"])),
    user=st.one_of(st.none(), IDS),
    chat=st.one_of(st.none(), IDS),
)
POLICIES = st.builds(
    Policy,
    roles=st.dictionaries(IDS, st.sampled_from(Role)),
    grants=st.lists(GRANTS, max_size=4).map(tuple),
    trust_groups=st.booleans(),
)
FACTS = st.builds(
    Facts,
    user=IDS,
    chat=IDS,
    kind=st.sampled_from(["direct", "group"]),
    encrypted=st.booleans(),
    pinned=st.booleans(),
    changed=st.booleans(),
    verified=st.booleans(),
    authenticated=st.booleans(),
    confirmed=st.booleans(),
    group_role=st.sampled_from([None, "owner", "admin", "member"]),
)


@given(POLICIES, RULES, FACTS)
def test_nothing_gets_past_the_rules(policy: Policy, rule: Rule, facts: Facts) -> None:
    decision = decide(policy, rule, facts)
    denied = any(
        line.effect == "deny" and line.covers(rule.permission, user=facts.user, chat=facts.chat)
        for line in policy.grants
    )
    if denied or rule.chats not in {"any", facts.kind}:
        assert decision.outcome == "deny"
    if facts.kind == "group":
        assert not (rule.role is Role.OWNER and decision.outcome != "deny")
    if rule.privileged and decision.allowed:
        assert is_proven(policy, facts)
        assert not facts.changed
        assert facts.kind == "group" or (facts.encrypted and facts.pinned)
    if rule.verified and decision.allowed:
        assert facts.verified
        assert facts.confirmed if facts.kind == "group" else facts.encrypted
    if facts.kind == "direct":
        assert decision.outcome != "confirm"
    assert len(decision.reasons) == 7


@given(POLICIES, RULES, FACTS, GRANTS)
def test_another_denial_never_lets_anybody_in(
    policy: Policy, rule: Rule, facts: Facts, grant: Grant
) -> None:
    denial = Grant(effect="deny", permission=grant.permission, user=grant.user, chat=grant.chat)
    if decide(policy.with_grant(denial), rule, facts).allowed:
        assert decide(policy, rule, facts).allowed


@given(POLICIES, RULES, FACTS)
def test_a_grant_is_needed_by_whoever_lacks_the_role(
    policy: Policy, rule: Rule, facts: Facts
) -> None:
    without = Policy(roles=policy.roles, trust_groups=policy.trust_groups)
    if decide(without, rule, facts).outcome != "deny":
        assert claimed_role(without, facts) >= rule.role
