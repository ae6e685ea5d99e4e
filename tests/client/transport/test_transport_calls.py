"""Every call of PROTOCOL.md 2 as the real backend gets it, and its answers as it words them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import pytest
from doubles.scripted_backend import calling, say

from chatbot import wire
from chatbot.client.transport.rest_client import RestClient

NOW: Final = 1_700_000_000_000
KEY: Final = "A" * 43 + "="
SIGNATURE: Final = "A" * 86 + "=="
SETTINGS: Final = {
    "messagePermission": "admins_only",
    "metadataPermission": "everyone",
    "joinApproval": False,
    "maxMembers": 1024,
}
SETTINGS_BODY: Final = wire.GroupSettings(message_permission="admins_only")
ACCOUNT: Final = {
    "id": "u1",
    "username": "alice",
    "avatar": None,
    "lastSeen": NOW,
    "role": "user",
    "is_active": 1,
    "can_send_images": 1,
    "created_at": NOW,
    "token": "a.b.c",
}
ROW: Final = {
    "id": "m1",
    "fromUser": "you",
    "toUser": "me",
    "content": "hi",
    "timestamp": NOW,
    "status": "read",
    "readAt": NOW,
    "type": "text",
    "imageData": None,
    "encrypted": 1,
}
GROUP: Final = {"id": "g1", "name": "Team", "owner_id": "me", "created_at": NOW}
DONE: Final = {"success": True}


@dataclass(frozen=True, kw_only=True)
class Call:
    """A row of the table.

    Attributes:
        make: makes the call.
        line: the request's method and path.
        auth: J is the JWT, U the bare user id, `-` nothing at all.
        body: the request's JSON; None where there is no body.
        answer: what the backend says, with its status in front.
        result: what the call returns.
    """

    make: Callable[[RestClient], Awaitable[Any]]
    line: str
    auth: Literal["J", "U", "-"]
    body: Any = None
    answer: tuple[int, Any] = (200, DONE)
    result: Any = None

    def __str__(self) -> str:
        return self.line


async def rows(rest: RestClient) -> list[wire.HistoryRow]:
    return [row async for row in rest.iter_history("you")]


ACCOUNT_CALLS: Final = [
    Call(
        make=lambda rest: rest.register("alice", "correct horse"),
        line="POST /api/auth/register",
        auth="-",
        body={"username": "alice", "password": "correct horse"},
        answer=(201, ACCOUNT),
        result=wire.Account(
            id="u1",
            username="alice",
            token="a.b.c",
            last_seen=NOW,
            is_active=1,
            can_send_images=1,
            created_at=NOW,
        ),
    ),
    Call(
        make=lambda rest: rest.login("alice", "correct horse"),
        line="POST /api/auth/login",
        auth="-",
        body={"username": "alice", "password": "correct horse"},
        answer=(200, {"id": "u1", "username": "alice", "token": "a.b.c", "created_at": "2026"}),
        result=wire.Account(id="u1", username="alice", token="a.b.c", created_at="2026"),
    ),
    Call(
        make=lambda rest: rest.users(),
        line="GET /api/users",
        auth="-",
        answer=(200, [{"id": "u1", "username": "alice", "avatar": None, "lastSeen": None}]),
        result=[wire.UserEntry("u1", "alice")],
    ),
    Call(
        make=lambda rest: rest.admin_users(),
        line="GET /api/admin/users",
        auth="U",
        answer=(200, [{**ACCOUNT, "is_active": 0}]),
        result=[
            wire.AdminUser(
                "u1", "alice", last_seen=NOW, is_active=0, can_send_images=1, created_at=NOW
            )
        ],
    ),
    Call(
        make=lambda rest: rest.set_user_active("u1", active=False),
        line="PUT /api/admin/users/u1/status",
        auth="U",
        body={"is_active": False, "disabled_by": "me"},
    ),
    Call(
        make=lambda rest: rest.set_user_images("u1", allowed=True),
        line="PUT /api/admin/users/u1/permissions",
        auth="U",
        body={"can_send_images": True},
    ),
    Call(
        make=lambda rest: rest.set_user_role("u1", "admin"),
        line="PUT /api/admin/users/u1/role",
        auth="U",
        body={"role": "admin"},
    ),
]

KEY_CALLS: Final = [
    Call(
        make=lambda rest: rest.upload_keys(
            wire.KeyUpload(
                KEY,
                KEY,
                "F" * 60,
                wire.SignedPrekeyBody(7, KEY, SIGNATURE),
                [wire.OneTimePrekeyBody(8, KEY)],
            )
        ),
        line="POST /api/users/prekeys",
        auth="J",
        body={
            "identityKey": KEY,
            "signingKey": KEY,
            "fingerprint": "F" * 60,
            "signedPrekey": {"keyId": 7, "publicKey": KEY, "signature": SIGNATURE},
            "oneTimePrekeys": [{"keyId": 8, "publicKey": KEY}],
        },
        answer=(200, {**DONE, "signedPrekeyUploaded": True, "oneTimePrekeysUploaded": 1}),
        result=wire.KeyUploadResult(signed_prekey_uploaded=True, one_time_prekeys_uploaded=1),
    ),
    Call(
        make=lambda rest: rest.upload_keys(wire.KeyUpload(KEY, KEY, "F" * 60, None, [])),
        line="POST /api/users/prekeys",
        auth="J",
        body={
            "identityKey": KEY,
            "signingKey": KEY,
            "fingerprint": "F" * 60,
            "signedPrekey": None,
            "oneTimePrekeys": [],
        },
        answer=(200, {**DONE, "signedPrekeyUploaded": False, "oneTimePrekeysUploaded": 0}),
        result=wire.KeyUploadResult(),
    ),
    Call(
        make=lambda rest: rest.prekey_status(),
        line="GET /api/users/prekeys/status",
        auth="J",
        answer=(
            200,
            {"signedPrekeyKeyId": 7, "signedPrekeyCreatedAt": NOW, "oneTimePrekeyCount": 3},
        ),
        result=wire.PrekeyStatus(7, NOW, 3),
    ),
    Call(
        make=lambda rest: rest.prekey_bundle("you"),
        line="GET /api/users/you/prekeys",
        auth="J",
        answer=(
            200,
            {
                "identityKey": KEY,
                "signingKey": KEY,
                "fingerprint": "F" * 60,
                "signedPrekey": {
                    "keyId": 7,
                    "publicKey": KEY,
                    "signature": SIGNATURE,
                    "createdAt": NOW,
                },
                "oneTimePrekey": None,
            },
        ),
        result=wire.PrekeyBundleBody(
            KEY, KEY, "F" * 60, wire.SignedPrekeyBody(7, KEY, SIGNATURE, NOW)
        ),
    ),
    Call(
        make=lambda rest: rest.verify_key("you", "F" * 60, "qr_code"),
        line="POST /api/verify-key",
        auth="J",
        body={
            "verifiedUserId": "you",
            "verifiedFingerprint": "F" * 60,
            "verificationMethod": "qr_code",
        },
    ),
    Call(
        make=lambda rest: rest.verification("you"),
        line="GET /api/verify-key/you",
        auth="J",
        answer=(
            200,
            {"verified": True, "fingerprint": "F" * 60, "verifiedAt": NOW, "method": "manual"},
        ),
        result=wire.Verification(
            verified=True, fingerprint="F" * 60, verified_at=NOW, method="manual"
        ),
    ),
    Call(make=lambda rest: rest.unverify_key("you"), line="DELETE /api/verify-key/you", auth="J"),
]

MESSAGE_CALLS: Final = [
    Call(
        make=rows,
        line="GET /api/messages/you?user=me",
        auth="J",
        answer=(200, [ROW]),
        result=[
            wire.HistoryRow(
                id="m1",
                from_user="you",
                to_user="me",
                content="hi",
                timestamp=NOW,
                status="read",
                read_at=NOW,
                type="text",
                encrypted=1,
            )
        ],
    ),
    Call(
        make=lambda rest: rest.store_message(
            wire.StoreMessageBody("m1", "me", "you", "hi", NOW, "sent")
        ),
        line="POST /api/messages",
        auth="J",
        body={
            "id": "m1",
            "fromUser": "me",
            "toUser": "you",
            "content": "hi",
            "timestamp": NOW,
            "status": "sent",
        },
        answer=(201, DONE),
    ),
    Call(
        make=lambda rest: rest.set_status(["m1"], "read"),
        line="PUT /api/messages/status",
        auth="J",
        body={"messageIds": ["m1"], "status": "read"},
        answer=(200, {**DONE, "updated": 1}),
        result=1,
    ),
]

GROUP_CALLS: Final = [
    Call(
        make=lambda rest: rest.create_group(wire.GroupCreate("Team")),
        line="POST /api/groups",
        auth="U",
        body={"name": "Team", "memberIds": []},
        answer=(201, {**GROUP, "settings": SETTINGS}),
        result=wire.GroupRow(
            id="g1", name="Team", owner_id="me", created_at=NOW, settings=SETTINGS
        ),
    ),
    Call(
        make=lambda rest: rest.create_group(
            wire.GroupCreate("Team", "Us", "a.png", ["you"], SETTINGS_BODY)
        ),
        line="POST /api/groups",
        auth="U",
        body={
            "name": "Team",
            "description": "Us",
            "avatar": "a.png",
            "memberIds": ["you"],
            "settings": SETTINGS,
        },
        answer=(201, {**GROUP, "settings": json.dumps(SETTINGS)}),
        result=wire.GroupRow(
            id="g1", name="Team", owner_id="me", created_at=NOW, settings=json.dumps(SETTINGS)
        ),
    ),
    Call(
        make=lambda rest: rest.groups(),
        line="GET /api/groups",
        auth="U",
        answer=(200, [{**GROUP, "role": "admin", "settings": SETTINGS, "extra": 1}]),
        result=[
            wire.GroupRow(
                id="g1",
                name="Team",
                owner_id="me",
                created_at=NOW,
                role="admin",
                settings=SETTINGS,
            )
        ],
    ),
    Call(
        make=lambda rest: rest.group("g1"),
        line="GET /api/groups/g1",
        auth="U",
        answer=(200, {**GROUP, "userRole": "owner", "settings": None}),
        result=wire.GroupRow(
            id="g1", name="Team", owner_id="me", created_at=NOW, user_role="owner"
        ),
    ),
    Call(
        make=lambda rest: rest.update_group("g1", wire.GroupUpdate(name="New")),
        line="PUT /api/groups/g1",
        auth="U",
        body={"name": "New"},
    ),
    Call(
        make=lambda rest: rest.update_group("g1", wire.GroupUpdate(settings=SETTINGS_BODY)),
        line="PUT /api/groups/g1",
        auth="U",
        body={"settings": SETTINGS},
    ),
    Call(
        make=lambda rest: rest.group_members("g1"),
        line="GET /api/groups/g1/members",
        auth="U",
        answer=(
            200,
            [
                {
                    "group_id": "g1",
                    "user_id": "me",
                    "role": "owner",
                    "joined_at": NOW,
                    "added_by": None,
                    "username": "alice",
                    "avatar": None,
                }
            ],
        ),
        result=[
            wire.GroupMember(
                group_id="g1", user_id="me", role="owner", joined_at=NOW, username="alice"
            )
        ],
    ),
    Call(
        make=lambda rest: rest.add_group_members("g1", ["you"]),
        line="POST /api/groups/g1/members",
        auth="U",
        body={"userIds": ["you"]},
        answer=(200, {**DONE, "added": ["you"]}),
        result=["you"],
    ),
    Call(
        make=lambda rest: rest.remove_group_member("g1", "you"),
        line="DELETE /api/groups/g1/members/you",
        auth="U",
    ),
    Call(
        make=lambda rest: rest.set_group_role("g1", "you", "admin"),
        line="PUT /api/groups/g1/members/you/role",
        auth="U",
        body={"role": "admin"},
    ),
    Call(
        make=lambda rest: rest.leave_group("g1"),
        line="POST /api/groups/g1/leave",
        auth="U",
        body={},
    ),
    Call(
        make=lambda rest: rest.group_history("g1", before=NOW),
        line=f"GET /api/groups/g1/messages?limit=200&before={NOW}",
        auth="U",
        answer=(
            200,
            [
                {
                    "id": "e1",
                    "group_id": "g1",
                    "from_user": "me",
                    "content": "alice made the group",
                    "timestamp": NOW,
                    "type": "system",
                    "imageData": None,
                    "system_event": "group_created",
                    "metadata": '{"name":"Team"}',
                    "from_username": "alice",
                }
            ],
        ),
        result=[
            wire.GroupHistoryRow(
                id="e1",
                group_id="g1",
                from_user="me",
                content="alice made the group",
                timestamp=NOW,
                type="system",
                system_event="group_created",
                metadata='{"name":"Team"}',
                from_username="alice",
            )
        ],
    ),
    Call(
        make=lambda rest: rest.create_invite("g1"),
        line="POST /api/groups/g1/invite",
        auth="U",
        body={},
        answer=(201, {"id": "i1", "link_code": "c", "expires_at": None, "max_uses": None}),
        result=wire.Invite("i1", "c"),
    ),
    Call(
        make=lambda rest: rest.create_invite("g1", expires_in=1000, max_uses=2),
        line="POST /api/groups/g1/invite",
        auth="U",
        body={"expiresIn": 1000, "maxUses": 2},
        answer=(201, {"id": "i1", "link_code": "c", "expires_at": NOW, "max_uses": 2}),
        result=wire.Invite("i1", "c", NOW, 2),
    ),
    Call(
        make=lambda rest: rest.join_group("c"),
        line="POST /api/groups/join",
        auth="U",
        body={"linkCode": "c"},
        answer=(200, {**DONE, "group_id": "g1"}),
        result="g1",
    ),
    Call(
        make=lambda rest: rest.revoke_invite("g1", "i1"),
        line="DELETE /api/groups/g1/invite/i1",
        auth="U",
    ),
]

AUTHORIZATION: Final = {"J": "Bearer some-token", "U": "Bearer me", "-": None}


@pytest.mark.parametrize(
    "call", [*ACCOUNT_CALLS, *KEY_CALLS, *MESSAGE_CALLS, *GROUP_CALLS], ids=str
)
async def test_a_call_and_its_answer(call: Call) -> None:
    async with calling(say(*call.answer)) as (backend, rest):
        result = await call.make(rest)

    (request,), (body,) = backend.requests, backend.bodies
    assert backend.calls == [call.line]
    assert request.headers.get("Authorization") == AUTHORIZATION[call.auth]
    assert (json.loads(body) if body else None) == call.body
    assert result == call.result
