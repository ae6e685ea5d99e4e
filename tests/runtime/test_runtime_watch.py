"""Time limits: what they end, and what they do not count."""

from __future__ import annotations

import asyncio

import pytest

from chatbot.runtime.watch import Limit, Watch

SOON = 0.02
LONG = 60.0


@pytest.fixture
def watch() -> Watch:
    return Watch()


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_what_takes_too_long_is_ended(watch: Watch) -> None:
    with pytest.raises(TimeoutError), Limit(watch, SOON, None):
        await for_ever()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_the_one_that_ends_first_is_looked_at_first(watch: Watch) -> None:
    ended = []

    async def wait(seconds: float) -> None:
        try:
            with Limit(watch, seconds, None):
                await for_ever()
        except TimeoutError:
            ended.append(seconds)

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        for seconds in (3 * SOON, SOON, 5 * SOON):
            tasks.create_task(wait(seconds))
    assert ended == [SOON, 3 * SOON, 5 * SOON]


async def test_what_ends_in_time_is_left_alone(watch: Watch) -> None:
    with Limit(watch, SOON, None):
        pass
    with pytest.raises(TimeoutError), Limit(watch, SOON, None):
        await for_ever()  # the first one's timer is over before its own


async def test_an_outer_limit_does_not_count_the_inner_one(watch: Watch) -> None:
    outer = Limit(watch, 5 * SOON, None)
    with outer, pytest.raises(TimeoutError), Limit(watch, 10 * SOON, outer):
        await for_ever()


async def test_an_outer_limit_goes_on_behind_the_inner_one(watch: Watch) -> None:
    outer = Limit(watch, 2 * SOON, None)

    async def work() -> None:
        with outer:
            with Limit(watch, LONG, outer):
                pass
            await for_ever()

    with pytest.raises(TimeoutError):
        await work()


async def test_a_halted_limit_does_not_count(watch: Watch) -> None:
    limit = Limit(watch, SOON, None)
    with limit:
        limit.halt()
        await asyncio.sleep(3 * SOON)
        limit.go_on()


async def test_one_that_is_over_ends_its_body_once(watch: Watch) -> None:
    limit = Limit(watch, SOON, None)

    async def work() -> None:
        with limit:
            try:
                await for_ever()
            finally:
                limit.halt()
                limit.go_on()
                await asyncio.sleep(3 * SOON)

    with pytest.raises(TimeoutError):
        await work()


async def test_a_cancellation_from_elsewhere_stays_one(watch: Watch) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        with Limit(watch, LONG, None):
            begun.set()
            await for_ever()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    watch.close()


async def test_an_error_of_the_body_comes_through(watch: Watch) -> None:
    with pytest.raises(ZeroDivisionError), Limit(watch, LONG, None):
        raise ZeroDivisionError
    watch.close()


def test_there_has_to_be_a_task(watch: Watch) -> None:
    async def nothing() -> None:
        """Somewhere to be."""

    loop = asyncio.new_event_loop()
    failed: list[BaseException] = []

    def outside() -> None:
        try:
            with Limit(watch, LONG, None):
                pass
        except RuntimeError as error:
            failed.append(error)

    loop.call_soon(outside)
    loop.run_until_complete(nothing())
    loop.close()
    assert "task" in str(failed[0])
