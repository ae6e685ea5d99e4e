"""From a message's text to the call of its handler, beside aiogram 3.

    python -m benchmarks.dispatch

Dispatching to the first and to the fiftieth of fifty commands, and to none of them; and how our
cost grows with the number of commands. Arguments are read on the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from statistics import median
from typing import Final

from benchmarks.dispatch_bots import Calls, aiogram_bot, on_loop, our_bot
from benchmarks.report import Rates, print_table, race, ratio
from chatbot.plugins.people import Chat

COMMANDS: Final = 50
OURS: Final = "chatbot"
AIOGRAM: Final = "aiogram"
CASES: Final = (
    ("the first", "/command0 6", 3.0),
    ("the fiftieth", "/command49 6", 10.0),
    ("none, unknown command", "/commander 6", 10.0),
    ("none, plain text", "What shall we have for lunch?", 10.0),
)
FLAT_GOAL: Final = 1.2
"""How many times as much 1,000 commands may cost as 10."""


def compare(
    loop: asyncio.AbstractEventLoop, text: str, *, handled: bool, count: int, rounds: int
) -> Rates:
    """Messages a second of both, for one text."""
    contenders: dict[str, Callable[[int], None]] = {}
    for name, make in ((OURS, our_bot), (AIOGRAM, aiogram_bot)):
        calls = Calls()
        contender = on_loop(loop, make(COMMANDS, text, calls))
        contender(3)
        assert calls.count == (3 if handled else 0), name
        contenders[name] = contender
    return race(contenders, count=count, rounds=rounds)


def growth(loop: asyncio.AbstractEventLoop, *, count: int, rounds: int) -> Rates:
    """Messages a second of ours, with 10 and with 1,000 commands, called and not."""
    contenders = {
        f"{number} {what}": on_loop(loop, our_bot(number, text.format(number - 1), Calls()))
        for number in (10, 1000)
        for what, text in (("called", "/command{} 6"), ("not called", "/nothing"))
    }
    return race(contenders, count=count, rounds=rounds)


def suggestion_cost(loop: asyncio.AbstractEventLoop, *, rounds: int) -> Mapping[str, float]:
    """Microseconds of answering an unknown command in 1:1 with what may have been meant."""
    contenders = {
        f"{number} commands": on_loop(
            loop, our_bot(number, "/comand7", Calls(), Chat("4711", "direct"))
        )
        for number in (10, 50, 1000)
    }
    rates = race(contenders, count=20, rounds=rounds)
    return {name: 1e6 / median(values) for name, values in rates.items()}


def verdict(*, reached: bool) -> str:
    """Of a goal."""
    return "reached" if reached else "MISSED"


def main(*, rounds: int = 21) -> None:
    """Measure everything and print it."""
    loop = asyncio.new_event_loop()
    rows = []
    for title, text, goal in CASES:
        handled = title.startswith("the ")
        rates = compare(loop, text, handled=handled, count=300, rounds=rounds)
        times = ratio(rates, OURS, AIOGRAM)
        ours, theirs = (1e6 / median(rates[name]) for name in (OURS, AIOGRAM))
        rows.append(
            (title, ours, theirs, f"{times:.1f}x", f"{goal}x {verdict(reached=times >= goal)}")
        )
    columns = ("One of 50 commands", "our µs", "aiogram µs", "we are", "goal")
    print_table("Dispatch", columns, rows)
    rates = growth(loop, count=1000, rounds=rounds)
    flat = []
    for what in ("called", "not called"):
        times = ratio(rates, f"10 {what}", f"1000 {what}")
        few, many = (1e6 / median(rates[f"{number} {what}"]) for number in (10, 1000))
        flat.append(
            (
                what,
                few,
                many,
                f"{times:.2f}x",
                f"{FLAT_GOAL}x {verdict(reached=times <= FLAT_GOAL)}",
            )
        )
    print_table("Growth", ("", "10: µs", "1,000: µs", "costs", "goal <"), flat)
    costs = suggestion_cost(loop, rounds=rounds)
    print_table("Did you mean (1:1 only)", ("", "µs"), list(costs.items()))
    loop.close()


if __name__ == "__main__":
    main()
