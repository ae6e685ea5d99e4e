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


@pytest.mark.parametrize("nothing", [True, False])
def test_a_row_says_no_more_than_it_must(nothing: bool) -> None:
    odd = dict.fromkeys(("status", "readAt", "type", "imageData", "encrypted")) if nothing else {}
    row = {"id": "m", "fromUser": "a", "toUser": "b", "content": "hi", "timestamp": 5, **odd}
    read = msgspec.convert(row, wire.HistoryRow)

    assert (read.id, read.content, read.timestamp) == ("m", "hi", 5)
    assert not read.encrypted
    assert read.image_data is read.type is read.status is None


@pytest.mark.parametrize("time", [5, "5", "2026-01-01T00:00:00Z", None])
def test_times_that_only_people_look_at_lose_no_row(time: object) -> None:
    user = {"id": "u", "username": "alice", "lastSeen": time}

    assert msgspec.convert(user, wire.UserEntry).last_seen == time
