"""What the benchmarks share: fair rounds, and tables that a person can read.

A shared machine is noisy, and its noise lasts longer than a round. So contenders take turns within
a round, only CPU time counts, and what is compared is the median of the ratios within each round,
never two numbers that were measured at different times.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TypeAlias

Rates: TypeAlias = dict[str, list[float]]
"""Operations a second of CPU time of every contender, one number a round."""


def race(contenders: Mapping[str, Callable[[int], None]], *, count: int, rounds: int) -> Rates:
    """Let the contenders take turns; each does `count` operations in each round.

    The first round warms up and does not count.
    """
    rates: Rates = {name: [] for name in contenders}
    names = list(contenders)
    for turn in range(rounds + 1):
        for name in names if turn % 2 else reversed(names):
            rate = _rate(contenders[name], count)
            if turn:
                rates[name].append(rate)
    return rates


def _rate(operation: Callable[[int], None], count: int) -> float:
    gc.collect()
    started = time.process_time()
    operation(count)
    return count / (time.process_time() - started)


def repeat(operation: Callable[[], object]) -> Callable[[int], None]:
    """Make a contender of a single operation."""

    def contender(count: int) -> None:
        for _ in range(count):
            operation()

    return contender


def ratio(rates: Rates, ours: str, theirs: str) -> float:
    """How many times as fast we are: the median over the rounds."""
    return median(a / b for a, b in zip(rates[ours], rates[theirs], strict=True))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table: the first column to the left, the others to the right."""
    cells = [list(columns), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    print(f"\n{title}")
    for row in cells:
        first, *others = zip(row, widths, strict=True)
        print(
            "  ".join([f"{first[0]:<{first[1]}}", *(f"{text:>{width}}" for text, width in others)])
        )


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return str(value)
