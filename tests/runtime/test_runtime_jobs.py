"""Jobs over time: fired, missed, failing, scheduled in the chat."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from doubles.log_lines import log_lines
from doubles.stage import Stage

from chatbot.runtime.jobs import GRACE, MOST_MISSED, runs_to_make

SUBSCRIBE = """
    @plugin.command()
    async def subscribe(ctx: Context) -> str:
        await ctx.store.set("who", ctx.user.id)
        return "subscribed"

    async def tell(bot: Bot, store: Store, text: str) -> None:
        if (who := await store.get("who", str)) is not None:
            await bot.send(who, text)
"""


def test_what_is_run_of_what_was_missed() -> None:
    times = list(range(0, 250_000, 1000))
    now = times[-1] + GRACE + 1
    assert runs_to_make(times, "skip", now) == []
    assert runs_to_make(times, "skip", times[-1] + GRACE) == [times[-1]]
    assert runs_to_make(times, "run-once", now) == [times[-1]]
    assert runs_to_make(times, "run-all", now) == times[-MOST_MISSED:]


async def test_a_job_runs_at_its_times(stage: Stage) -> None:
    bot = await stage.play(
        SUBSCRIBE
        + """
    @plugin.job(every="1h")
    async def hourly(bot: Bot, store: Store) -> None:
        await tell(bot, store, f"run {await store.incr('runs')}")
    """
    )
    alice = await stage.person("alice")
    await alice.says("/subscribe")
    for number in (1, 2, 3):
        stage.advance(timedelta(hours=1))
        assert await alice.hears() == f"run {number}"
    assert bot.metrics.job_runs["play", "ok"] >= 2  # each begins when the one before has ended


@pytest.mark.parametrize(("misfire", "expected"), [("skip", 0), ("run-once", 1), ("run-all", 5)])
async def test_what_becomes_of_runs_missed_while_the_bot_was_down(
    stage: Stage, misfire: str, expected: int
) -> None:
    await stage.play(
        SUBSCRIBE
        + f"""
    @plugin.job(every="1h", misfire="{misfire}")
    async def hourly(bot: Bot, store: Store) -> None:
        await tell(bot, store, f"run {{await store.incr('runs')}}")
    """
    )
    alice = await stage.person("alice")
    await alice.says("/subscribe")
    await stage.bot.stop()
    stage.advance(timedelta(hours=5, minutes=30))
    await stage.restart_bot()
    for number in range(1, expected + 1):
        assert await alice.hears() == f"run {number}"
    await alice.hears_nothing()
    stage.advance(timedelta(minutes=30))  # the next run is where it was
    assert await alice.hears() == f"run {expected + 1}"


async def test_a_restart_keeps_the_next_run(stage: Stage) -> None:
    await stage.play(
        SUBSCRIBE
        + """
    @plugin.job(every="1h")
    async def hourly(bot: Bot, store: Store) -> None:
        await tell(bot, store, "hourly")
    """
    )
    alice = await stage.person("alice")
    await alice.says("/subscribe")
    stage.advance(timedelta(minutes=50))
    await stage.restart_bot()
    stage.advance(timedelta(minutes=10))
    assert await alice.hears() == "hourly"


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_clock_that_was_ahead_delays_no_job(stage: Stage, restarts: bool) -> None:
    stage.advance(timedelta(days=300))
    await stage.play(
        SUBSCRIBE
        + """
    @plugin.job(every="1h")
    async def hourly(bot: Bot, store: Store) -> None:
        await tell(bot, store, "hourly")
    """
    )
    alice = await stage.person("alice")
    await alice.says("/subscribe")
    stage.advance(timedelta(hours=1))
    assert await alice.hears() == "hourly"
    stage.advance(timedelta(days=-300))
    if restarts:
        await stage.restart_bot()
    await alice.says("/subscribe")
    stage.advance(timedelta(hours=1))
    assert await alice.hears() == "hourly"


async def test_cron_in_the_bots_time_zone(stage: Stage) -> None:
    await stage.play(
        SUBSCRIBE
        + """
    @plugin.job(cron="0 9 * * *")
    async def daily(bot: Bot, store: Store) -> None:
        await tell(bot, store, f"it is {bot.now():%H}")
    """,
        timezone=ZoneInfo("Asia/Kathmandu"),
    )
    alice = await stage.person("alice")
    await alice.says("/subscribe")
    now = stage.bot._parts.world.now()  # type: ignore[union-attr] # it runs
    nine = (now + timedelta(days=1)).replace(hour=9, minute=0, second=0, microsecond=0)
    stage.advance(nine - now)
    assert await alice.hears() == "it is 09"


async def test_a_job_never_overlaps_itself(stage: Stage) -> None:
    await stage.play(
        SUBSCRIBE
        + """
    going = asyncio.Event()
    begun = []

    @plugin.job(every="1h", misfire="run-all")
    async def slow(bot: Bot, store: Store) -> None:
        begun.append(1)
        number = len(begun)
        await tell(bot, store, f"begun {number}")
        await going.wait()
        await tell(bot, store, f"ended {number}")

    @plugin.command()
    async def go() -> str:
        going.set()
        return f"{len(begun)} begun"
    """
    )
    alice = await stage.person("alice")
    await alice.says("/subscribe")
    stage.advance(timedelta(hours=1))
    assert await alice.hears() == "begun 1"
    stage.advance(timedelta(hours=2))
    assert await alice.says("/ping") == "pong"
    heard = sorted([await alice.says("/go"), *[await alice.hears() for _ in range(5)]])
    assert heard == ["1 begun", "begun 2", "begun 3", "ended 1", "ended 2", "ended 3"]


async def test_a_failing_job_is_tried_again_and_then_waits_for_its_next_time(
    stage: Stage,
) -> None:
    bot = await stage.play(
        SUBSCRIBE
        + """
    tries = []

    @plugin.job(every="1h")
    async def fragile(bot: Bot, store: Store) -> None:
        await tell(bot, store, f"run {await store.incr('runs')}")
        tries.append(1)
        if len(tries) <= 3:
            raise OSError
    """
    )
    alice = await stage.person("alice")
    await alice.says("/subscribe")
    with log_lines("chatbot.runtime.jobs") as log:
        stage.advance(timedelta(hours=1))
        assert await alice.hears() == "run 1"
        await log.until("(try 1)")
        stage.advance(timedelta(seconds=1))
        await log.until("(try 2)")
        stage.advance(timedelta(seconds=4))
        await log.until("is given up")
    stage.advance(timedelta(hours=1))
    assert await alice.hears() == "run 2"
    assert bot.metrics.job_runs["play", "failed"] == 3
    await alice.hears_nothing()


REMIND = """
    from datetime import timedelta

    @plugin.job()
    async def remind(bot: Bot, user: str, text: str) -> None:
        await bot.send(user, f"remember: {text}")

    @plugin.command()
    async def remind_me(
        ctx: Context, scheduler: Scheduler, after: timedelta, text: Rest
    ) -> str:
        job = await scheduler.schedule(
            "remind", after=after, arguments={"user": ctx.user.id, "text": text}
        )
        return job.id

    @plugin.command()
    async def often(ctx: Context, scheduler: Scheduler) -> str:
        arguments = {"user": ctx.user.id, "text": "again"}
        return (await scheduler.schedule("remind", every="10m", arguments=arguments)).id

    @plugin.command()
    async def forget(scheduler: Scheduler, job: str) -> str:
        return str(await scheduler.cancel(job))

    @plugin.command()
    async def reminders(scheduler: Scheduler) -> str:
        return " ".join(job.arguments["text"] for job in await scheduler.jobs()) or "none"

    @plugin.command()
    async def wrong(scheduler: Scheduler, which: str) -> str:
        good = dict(job="remind", arguments={"user": "", "text": ""})
        tries = {
            "job": dict(job="nonsense", after="1m"),
            "times": dict(after="1m", every="1m", **good),
            "cron": dict(cron="99 * * * *", **good),
            "arguments": dict(job="remind", after="1m", arguments={"user": 3, "text": ""}),
        }
        try:
            await scheduler.schedule(**tries[which])
        except (ValueError, TypeError) as error:
            return f"{type(error).__name__}: {error}"
        return "scheduled"
"""


async def test_reminders_are_scheduled_in_the_chat_and_survive(stage: Stage) -> None:
    await stage.play(REMIND)
    alice = await stage.person("alice")
    await alice.says("/remind_me 20m the cake")
    await alice.says("/remind_me 10m the tea")
    assert await alice.says("/reminders") == "the tea the cake"
    await stage.restart_bot()
    stage.advance(timedelta(minutes=10))
    assert await alice.hears() == "remember: the tea"
    assert await alice.says("/reminders") == "the cake"
    stage.advance(timedelta(minutes=10))
    assert await alice.hears() == "remember: the cake"
    assert await alice.says("/reminders") == "none"


async def test_what_is_scheduled_again_and_again_can_be_cancelled(stage: Stage) -> None:
    await stage.play(REMIND)
    alice = await stage.person("alice")
    job = await alice.says("/often")
    for _ in range(2):
        stage.advance(timedelta(minutes=10))
        assert await alice.hears() == "remember: again"
    assert await alice.says(f"/forget {job}") == "True"
    assert await alice.says(f"/forget {job}") == "False"
    stage.advance(timedelta(minutes=30))
    await alice.hears_nothing()


@pytest.mark.parametrize(
    ("which", "answer"),
    [
        ("job", "ValueError: plugin 'play' declares no job 'nonsense'"),
        ("times", "ValueError: exactly one of at, after, every and cron says when"),
        ("cron", "ValueError: cron='99 * * * *'"),
        ("arguments", "TypeError: job 'remind', user: Expected `str`, got `int`"),
    ],
)
async def test_what_cannot_be_scheduled(stage: Stage, which: str, answer: str) -> None:
    await stage.play(REMIND)
    alice = await stage.person("alice")
    assert (await alice.says(f"/wrong {which}")).startswith(answer)


async def test_arguments_lie_sealed(stage: Stage) -> None:
    await stage.play(REMIND)
    alice = await stage.person("alice")
    await alice.says("/remind_me 20m buy a golden ring")
    await stage.bot.stop()
    for file in (stage.folder / "world" / "bot").rglob("*.db*"):
        assert b"golden ring" not in file.read_bytes()
