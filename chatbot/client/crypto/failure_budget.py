"""How much work one sender's undecryptable messages may cost us in a minute."""

from __future__ import annotations

from typing import Final

MINUTE: Final = 60_000
DH_OPERATIONS: Final = 64
CHAIN_STEPS: Final = 4000


class FailureBudget:
    """DH operations and chain steps that failed trials may use per minute (PROTOCOL.md 4.1.3).

    Only failures are charged: a lively conversation does a DH step with every turn.
    """

    __slots__ = ("_chain_steps", "_dh_operations", "_since")

    def __init__(self) -> None:
        self._since = 0
        self._dh_operations = 0
        self._chain_steps = 0

    def charge(self, now: int, *, dh_operations: int = 0, chain_steps: int = 0) -> None:
        """Book a failed trial."""
        self._renew(now)
        self._dh_operations += dh_operations
        self._chain_steps += chain_steps

    def spent(self, now: int) -> tuple[int, int]:
        """What is booked of this minute, for `refund`."""
        self._renew(now)
        return self._dh_operations, self._chain_steps

    def refund(self, spent: tuple[int, int]) -> None:
        """Cancel what was booked since: the message was genuine after all."""
        self._dh_operations, self._chain_steps = spent

    def exhausted(self, now: int, *, again: bool = False) -> bool:
        """Whether frames with unknown keys have to wait until the minute is over.

        Args:
            again: asked for one that has failed before. Those have half of everything, so that
                however many they are, others have their turn.
        """
        self._renew(now)
        share = 2 if again else 1
        return (
            self._dh_operations * share >= DH_OPERATIONS or self._chain_steps * share >= CHAIN_STEPS
        )

    def _renew(self, now: int) -> None:
        if not 0 <= now - self._since < MINUTE:
            self._since = now
            self._dh_operations = self._chain_steps = 0
