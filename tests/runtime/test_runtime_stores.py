"""Plugins' stores, their own files, and what is on the disk of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from doubles.stage import Stage


async def test_values_are_typed_and_durable(stage: Stage) -> None:
    await stage.play("""
        @dataclass
        class Point:
            x: int
            y: int = 0

        @plugin.command()
        async def keep(store: Store) -> None:
            await store.set("point", Point(1, 2))
            await store.set("words", ["a", "b"])

        @plugin.command()
        async def show(store: Store) -> str:
            return f"{await store.get('point', Point)} {await store.get('words', list[str])}"

        @plugin.command()
        async def missing(store: Store) -> str:
            return f"{await store.get('none', int)} {await store.get('none', int, 7)}"

        @plugin.command()
        async def wrong(store: Store) -> str:
            try:
                return str(await store.get("words", int))
            except TypeError as error:
                return str(error)

        @plugin.command()
        async def unkeepable(store: Store) -> str:
            try:
                await store.set("set", object())
            except TypeError:
                return "no"
    """)
    alice = await stage.person("alice")
    await alice.writes("/keep")
    await stage.restart_bot()
    assert await alice.says("/show") == "Point(x=1, y=2) ['a', 'b']"
    assert await alice.says("/missing") == "None 7"
    assert await alice.says("/wrong") == "the value of 'words': Expected `int`, got `array`"
    assert await alice.says("/unkeepable") == "no"


async def test_a_handler_sees_what_it_has_set_in_ranges_too(stage: Stage) -> None:
    await stage.play("""
        async def listed(store: Store, *args: object, **options: object) -> str:
            return " ".join([f"{k}={v}" async for k, v in store.range(*args, **options)])

        @plugin.command()
        async def fill(store: Store) -> None:
            for number in range(250):
                await store.set(f"n{number:03}", number)
            await store.set("other", 1)

        @plugin.command()
        async def change(store: Store) -> str:
            await store.set("n001", 1000)
            await store.set("n0015", 15)
            await store.delete("n002")
            await store.set("n999", 999)
            return await listed(store, "n", int, after="n000", limit=4)

        @plugin.command()
        async def ends(store: Store) -> str:
            everything = [key async for key, _ in store.range("n", int)]
            return f"{len(everything)} {everything[-1]} {sorted(everything) == everything}"

        @plugin.command()
        async def odd(store: Store) -> str:
            await store.set("\\ud7ffx", 1)
            await store.set("\\U0010ffffx", 2)
            first = [v async for _, v in store.range("\\ud7ff", int)]
            return f"{first} {[v async for _, v in store.range(chr(0x10ffff), int)]}"
    """)
    alice = await stage.person("alice")
    await alice.writes("/fill")
    assert await alice.says("/change") == "n001=1000 n0015=15 n003=3 n004=4"
    assert await alice.says("/ends") == "251 n999 True"
    assert await alice.says("/odd") == "[1] [2]"


async def test_what_fails_leaves_nothing_behind_but_its_steps(stage: Stage) -> None:
    await stage.play("""
        @plugin.command()
        async def half(ctx: Context) -> None:
            await ctx.store.set("plain", 1)
            await ctx.store.incr("stepped")
            raise ValueError

        @plugin.command()
        async def show(ctx: Context) -> str:
            return f"{await ctx.store.get('plain', int)} {await ctx.store.get('stepped', int)}"
    """)
    alice = await stage.person("alice")
    await alice.says("/half")
    assert await alice.says("/show") == "None 1"
    stage.clock.advance(60_000)
    assert await alice.says("/show") == "None 1"


async def test_steps_take_up_what_was_set_before(stage: Stage) -> None:
    await stage.play("""
        @plugin.command()
        async def mix(store: Store) -> str:
            await store.set("n", 5)
            total = await store.incr("n", 2)
            swapped = await store.compare_and_set("n", 7, {"done": True})
            again = await store.compare_and_set("n", 7, 8)
            fresh = await store.compare_and_set("new", None, [1])
            return f"{total} {swapped} {again} {fresh} {await store.get('n', dict[str, bool])}"
    """)
    alice = await stage.person("alice")
    assert await alice.says("/mix") == "7 True False True {'done': True}"


async def test_stores_are_each_plugins_own(stage: Stage) -> None:
    source = """
        @plugin.command("{0}")
        async def count(store: Store) -> str:
            return str(await store.incr("n"))
    """
    listed = [stage.write(name, source.format(name)) for name in ("one", "two")]
    await stage.start_bot(listed, base=stage.folder)
    alice = await stage.person("alice")
    assert [await alice.says(c) for c in ("/one", "/one", "/two")] == ["1", "2", "1"]


async def test_increments_of_many_at_once_are_exact(stage: Stage) -> None:
    await stage.play("""
        @plugin.command()
        async def many(store: Store) -> str:
            await asyncio.gather(*(store.incr("n") for _ in range(50)))
            return str(await store.get("n", int))
    """)
    alice = await stage.person("alice")
    assert await alice.says("/many") == "50"


async def test_values_lie_sealed(stage: Stage) -> None:
    await stage.play("""
        @plugin.command()
        async def keep(store: Store) -> str:
            await store.set("password", "correct horse battery staple")
            await store.compare_and_set("second", None, "correct horse battery staple")
            return "kept"
    """)
    alice = await stage.person("alice")
    await alice.says("/keep")
    await stage.bot.stop()
    for file in (stage.folder / "world" / "bot").rglob("*.db*"):
        assert b"correct horse" not in file.read_bytes()


async def test_a_plugin_may_have_a_file_of_its_own(stage: Stage) -> None:
    file = stage.folder / "sql.py"
    file.write_text("""
from chatbot import Context, Plugin, Sql

plugin = Plugin("sql", migrations=["CREATE TABLE notes (text TEXT); CREATE INDEX i ON notes(text)"])

@plugin.command()
async def note(sql: Sql, text: str) -> str:
    await sql.write(lambda c: c.execute("INSERT INTO notes VALUES (?)", (text,)) and None)
    count = await sql.read(lambda c: c.execute("SELECT count(*) FROM notes").fetchone()[0])
    return str(count)
""")
    await stage.start_bot(["./sql.py"], base=stage.folder)
    alice = await stage.person("alice")
    assert await alice.says("/note one") == "1"
    await stage.restart_bot()
    assert await alice.says("/note two") == "2"
    path = stage.folder / "world" / "bot" / stage.bot.user.id / "plugins" / "sql.db"
    assert path.stat().st_mode & 0o777 == 0o600
    await stage.bot.stop()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT text FROM notes").fetchall() == [("one",), ("two",)]
