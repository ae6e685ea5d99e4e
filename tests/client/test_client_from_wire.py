"""Answers of the backend in every form it may give them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from chatbot import wire
from chatbot.client import from_wire
from chatbot.client.exceptions import BackendError
from chatbot.client.models import GroupSettings

SETTINGS = {"messagePermission": "admins_only", "maxMembers": 7, "theme": "dark"}


def row(settings: Any) -> wire.GroupRow:
    answer = json.dumps({"id": "g", "name": "Team", "settings": settings})
    return msgspec.json.decode(answer, type=wire.GroupRow)


@pytest.mark.parametrize("settings", [SETTINGS, json.dumps(SETTINGS)])
def test_settings_are_an_object_or_its_text(settings: Any) -> None:
    expected = GroupSettings(message_permission="admins_only", max_members=7)

    assert from_wire.group(row(settings)).settings == expected
    assert from_wire.group_settings(row(settings)) == expected


@pytest.mark.parametrize("settings", [None, {}, "{}", "null", ""])
def test_no_settings_are_the_defaults(settings: Any) -> None:
    assert from_wire.group_settings(row(settings)) == GroupSettings()


@pytest.mark.parametrize(
    "settings", [{"messagePermission": "nobody"}, "{", "[" * 9_999, [7], 7, "7"]
)
def test_settings_of_another_kind_hide_no_group_and_are_not_written_over(settings: Any) -> None:
    listed = row(settings)

    assert from_wire.group(listed).settings == GroupSettings()
    with pytest.raises(BackendError, match="group g cannot be understood"):
        from_wire.settings_body(listed)


@pytest.mark.parametrize(
    ("metadata", "read"),
    [({"by": "x"}, {"by": "x"}), ('{"by":"x"}', {"by": "x"}), ("words", "words"), (None, None)],
)
def test_what_comes_with_a_groups_event(metadata: Any, read: Any) -> None:
    told = wire.GroupHistoryRow(id="e", group_id="g", from_user="u", metadata=metadata)

    assert from_wire.group_event(told).metadata == read


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        (5, 5),
        ("1700000000000", 1_700_000_000_000),
        ("2023-11-14T22:13:20.000Z", 1_700_000_000_000),
        ("2023-11-14 22:13:20", 1_700_000_000_000),
        ("long ago", None),
        (None, None),
    ],
)
def test_times(value: int | str | None, ms: int | None) -> None:
    assert from_wire.timestamp(value) == ms
