"""Fuzzing in small: `make fuzz` is the whole of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.campaign import campaign
from fuzz.targets import Target, all_targets

INPUTS = 1000
"""For each target."""

NAMES = ("frames", "contents", "records", "imports", "configs", "arguments")


@pytest.fixture(scope="module")
def targets() -> Iterator[dict[str, Target]]:
    """The targets by name."""
    with all_targets() as them:
        assert tuple(target.name for target in them) == NAMES
        yield {target.name: target for target in them}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_was_damaged_does_damage(targets: dict[str, Target], name: str) -> None:
    (result,) = campaign([targets[name]], INPUTS, seed=1)
    assert not result.failures
    assert result.inputs >= INPUTS


@pytest.mark.parametrize("name", NAMES)
def test_nothing_made_up_does_damage(targets: dict[str, Target], name: str) -> None:
    @settings(max_examples=50, deadline=None)
    @given(st.binary() | st.text().map(lambda text: text.encode(errors="surrogatepass")))
    def feed(data: bytes) -> None:
        targets[name].read(data)

    feed()


def test_what_a_target_cannot_digest_is_kept() -> None:
    def read(data: bytes) -> None:
        if data != b"good":
            raise ValueError("bad")

    (result,) = campaign([Target("picky", [b"good"], read)], 50, seed=1)
    assert result.inputs == 50
    assert 0 < result.failed < 50
    assert all(why == "ValueError: bad" for _, why in result.failures)
