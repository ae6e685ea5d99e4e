"""What the tests of sessions share."""

from __future__ import annotations

import pytest
from doubles.record_sides import Side


@pytest.fixture
def alice() -> Side:
    return Side("alice")


@pytest.fixture
def bob(alice: Side) -> Side:
    bob = Side("bob")
    bob.record.accept_identity(alice.ring.identity.public_key)
    return bob
