"""The parity page has a row for everything, and what its rows name exists."""

from __future__ import annotations

import ast
import re
from typing import Final

import pytest
from doubles.pages import ROOT, rows

from chatbot.client import ClientSettings, WhatsAppClient
from chatbot.client.crypto_manager import CryptoManager
from chatbot.client.transport.rest_client import RestClient

PAGE: Final = "parity.md"

CLASSES: Final[tuple[type, ...]] = (WhatsAppClient, ClientSettings, CryptoManager, RestClient)

COUNTS: Final = {"AUTH": 3, "CRYPTO": 5, "MSG": 7, "RT": 3, "GROUP": 3, "STORE": 3}
"""How many requirements the specification has of each kind."""

CALLS: Final = """
POST /api/auth/register
POST /api/auth/login
GET /api/users
POST /api/users/prekeys
GET /api/users/prekeys/status
GET /api/users/{id}/prekeys
POST /api/verify-key
GET · DELETE /api/verify-key/{id}
GET /api/messages/{peer}
POST /api/messages
PUT /api/messages/status
POST /api/groups
GET /api/groups · /api/groups/{id}
PUT /api/groups/{id}
GET /api/groups/{id}/members
POST /api/groups/{id}/members
DELETE /api/groups/{id}/members/{uid}
PUT /api/groups/{id}/members/{uid}/role
POST /api/groups/{id}/leave
GET /api/groups/{id}/messages
POST /api/groups/{id}/invite
POST /api/groups/join
DELETE /api/groups/{id}/invite/{linkId}
GET /api/admin/users
PUT /api/admin/users/{id}/status
PUT /api/admin/users/{id}/permissions
PUT /api/admin/users/{id}/role
"""

FRAMES: Final = (
    "auth message typing status read group_message group_read group_typing group_event online error"
)

WANTED: Final = (
    *(f"FR-{kind}-{n:02}" for kind, count in COUNTS.items() for n in range(1, count + 1)),
    *CALLS.strip().splitlines(),
    *FRAMES.split(),
)

ROWS: Final = rows(PAGE)


@pytest.mark.parametrize("wanted", WANTED)
def test_there_is_one_row_of_it(wanted: str) -> None:
    assert [row[0] for row in ROWS].count(wanted) == 1


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_a_row_names_exists(row: list[str]) -> None:
    assert len(row) == 4
    assert all(row)
    methods = re.findall(r"`([^`]+)`", row[2])
    assert methods
    assert [name for name in methods if not is_ours(name)] == []
    tests = re.findall(r"`([^`]+)`", row[3])
    assert tests
    assert [test for test in tests if not is_test(test)] == []


def is_ours(name: str) -> bool:
    """Whether it is a method, of the client where no class is named."""
    owner, _, method = name.rpartition(".")
    found = next(c for c in CLASSES if c.__name__ == (owner or "WhatsAppClient"))
    return hasattr(found, method)


def is_test(node_id: str) -> bool:
    """Whether the file has a test of that name, in that class if one is named."""
    path, *names = node_id.split("::")
    scope: list[ast.stmt] = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    for name in names:
        inner = next((node for node in scope if getattr(node, "name", None) == name), None)
        if not isinstance(inner, ast.ClassDef | ast.AsyncFunctionDef | ast.FunctionDef):
            return False
        scope = inner.body
    return names[-1].startswith("test_")
