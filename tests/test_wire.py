"""What goes over the wire: every field that the real backend binds is written, default or not."""

from __future__ import annotations

import json

import msgspec
import pytest

from chatbot import wire


@pytest.mark.parametrize(
    ("body", "written"),
    [
        (
            wire.SendFrame(to="bob", content="hi"),
            {"to": "bob", "content": "hi", "messageType": "text", "encrypted": False},
        ),
        (
            wire.GroupSendFrame(group_id="g", content="hi"),
            {"groupId": "g", "content": "hi", "messageType": "text"},
        ),
        (wire.GroupCreate(name="Team"), {"name": "Team", "memberIds": []}),
        (
            wire.StoreMessageBody("m1", "alice", "bob", "hi", 1),
            {
                "id": "m1",
                "fromUser": "alice",
                "toUser": "bob",
                "content": "hi",
                "timestamp": 1,
                "status": "sent",
            },
        ),
        (
            wire.GroupSettings(),
            {
                "messagePermission": "everyone",
                "metadataPermission": "everyone",
                "joinApproval": False,
                "maxMembers": 1024,
            },
        ),
    ],
)
def test_what_the_backend_needs_is_written_even_where_it_is_the_default(
    body: msgspec.Struct, written: object
) -> None:
    assert json.loads(msgspec.json.encode(body)) == written


def test_what_a_client_leaves_out_is_read_all_the_same() -> None:
    frame = msgspec.json.decode(b'{"to":"bob","content":"hi"}', type=wire.SendFrame)

    assert frame == wire.SendFrame(to="bob", content="hi", message_type="text", encrypted=False)
