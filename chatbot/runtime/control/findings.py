"""What may be wrong with an account that is open, and what to do about each."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from chatbot.client.exceptions import ConnectionError, WhatsAppClientError
from chatbot.runtime.control.target import Target
from chatbot.runtime.monitoring.gauges import QueueDepths, queue_depths

TOLERABLE_SKEW: Final = 60_000
"""ms between two clocks; tokens and the order of messages stand more."""

FEW_PREKEYS: Final = 10
DAY: Final = 24 * 3600 * 1000
LATE: Final = DAY
"""The age (ms) from which a message that is not delivered is worth a word."""

_MOST_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what it was.
        state: how it is, in a few words.
        advice: what to do; None where all is well.
    """

    subject: str
    state: str
    advice: str | None = None


async def examine(target: Target) -> list[Finding]:
    """Look at the account, its queues, its keys, and at the backend."""
    database, now = target.account.database, target.account.messenger.now()
    depths = await database.read(queue_depths)
    old, unread, changed = await database.read(lambda connection: _peers(connection, now))
    return [
        *await _backend(target),
        *_queues(depths),
        _undelivered(depths, old),
        _undecryptable(unread),
        _changed(changed),
    ]


async def _backend(target: Target) -> list[Finding]:
    account = target.account
    try:
        published = await account.rest.prekey_status()
    except ConnectionError as error:
        advice = f"check the network and [server] url: {error}"
        return [Finding("backend", f"{account.rest.server_url} does not answer", advice)]
    except WhatsAppClientError as error:
        state = f"{account.rest.server_url} answers, and refuses this bot: {error}"
        return [Finding("backend", state, "check the password, or ask an administrator")]
    signed, count = published.signed_prekey_key_id, published.one_time_prekey_count
    return [
        Finding("backend", f"{account.rest.server_url} answers"),
        _skew(account.rest.backend_time, account.messenger.now()),
        _signed_prekey(signed, known=signed in account.key_ring.signed_prekeys),
        Finding(
            "one-time prekeys",
            f"{count} on the backend",
            "let the bot run: it puts up more" if count < FEW_PREKEYS else None,
        ),
    ]


def _skew(theirs: int | None, ours: int) -> Finding:
    if theirs is None:
        return Finding("clock", "the backend does not tell the time")
    seconds = (ours - theirs) // 1000
    if abs(ours - theirs) <= TOLERABLE_SKEW:
        return Finding("clock", "agrees with the backend's")
    side = "ahead of" if seconds > 0 else "behind"
    return Finding(
        "clock",
        f"{abs(seconds)} s {side} the backend's",
        "set this machine's clock by NTP (timedatectl set-ntp true)",
    )


def _signed_prekey(key_id: int | None, *, known: bool) -> Finding:
    if key_id is None:
        return Finding("signed prekey", "none on the backend", "start the bot: it publishes one")
    if known:
        return Finding("signed prekey", f"number {key_id} is published")
    return Finding(
        "signed prekey",
        f"number {key_id} on the backend is not one of ours",
        "see whether the account runs elsewhere, then start the bot: it publishes its own",
    )


def _queues(depths: QueueDepths) -> Iterator[Finding]:
    yield Finding("inbox", f"{depths.inbox} messages wait for their handlers")
    yield Finding(
        "parked messages",
        str(depths.inbox_parked),
        "see `chatbot inbox CONFIG list`; retry or drop each" if depths.inbox_parked else None,
    )
    yield Finding(
        "parked job runs",
        str(depths.job_runs_parked),
        "see `chatbot inbox CONFIG list`; retry or drop each" if depths.job_runs_parked else None,
    )


def _undelivered(depths: QueueDepths, old: int) -> Finding:
    return Finding(
        "undelivered messages",
        f"{depths.outbox}, {old} of them for more than a day",
        "nothing, if their readers are away: they are sent until they expire" if old else None,
    )


def _undecryptable(senders: list[tuple[str, int]]) -> Finding:
    if not senders:
        return Finding("undecryptable messages", "none in the last day")
    return Finding(
        "undecryptable messages",
        f"in the last day: {_named([f'{sender} ({count})' for sender, count in senders])}",
        "have them write again: the bot has asked for new sessions; if it goes on, let them reset"
        " their encryption",
    )


def _changed(peers: list[str]) -> Finding:
    if not peers:
        return Finding("changed identities", "none")
    return Finding(
        "changed identities",
        _named(peers),
        "compare fingerprints with them, then `chatbot trust CONFIG PEER`",
    )


def _named(all_of_them: list[str]) -> str:
    more = len(all_of_them) - _MOST_NAMED
    return ", ".join(all_of_them[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


_Peers = tuple[int, list[tuple[str, int]], list[str]]


def _peers(connection: sqlite3.Connection, now: int) -> _Peers:
    """Count what is late, who could not be read, and whose identity has changed."""
    (old,) = connection.execute(
        "SELECT count(*) FROM outbox WHERE state IN ('queued', 'sending', 'sent')"
        " AND created_at < ?",
        (now - LATE,),
    ).fetchone()
    unread = connection.execute(
        "SELECT sender, count(*) FROM seen WHERE state = 0 AND seen_at > ? GROUP BY sender"
        " ORDER BY count(*) DESC",
        (now - DAY,),
    ).fetchall()
    changed = connection.execute(
        "SELECT peer_id FROM peers WHERE identity_state = 'changed'"
        " OR pending_identity_key IS NOT NULL ORDER BY peer_id"
    ).fetchall()
    return old, unread, [peer for (peer,) in changed]
