"""The limits that types declare: how many of their jobs run at the same time, and how many begin within a time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from hms_svc.brokers.codes import PROCESSING, QUEUED
from hms_svc.brokers.limits import LET_IN_AT_ONCE, LIMIT_CHECK_MS
from hms_svc.brokers.sqlite.statements import ANY_PLACE, statements_of
from hms_svc.brokers.sqlite.transaction import Transaction
from hms_svc.domain.job import LeaseToken
from hms_svc.domain.job_limits import KeyedLimit, Limit
from hms_svc.ports.broker import PlaceClaim

SQL: Final = statements_of("limits.sql")


def room_in_queue(
    transaction: Transaction, queue: int, limits: Sequence[Limit], now: int
) -> tuple[int, int]:
    """Return how many more jobs the limits of a whole type let begin, and the ms until more may if none may."""
    rooms = []
    for limit in limits:
        if limit.window_ms:
            rooms.append(_room_of(transaction, _rate_of(queue, limit), limit, now))
        else:
            [running] = transaction.connection.execute(SQL["running"], (queue,)).fetchone()
            rooms.append((limit.most - int(running), LIMIT_CHECK_MS))
    return min(room for room, _ in rooms), min(ahead for _, ahead in rooms)


def note_starts_in_queue(
    transaction: Transaction, queue: int, limits: Sequence[Limit], number: int, now: int
) -> None:
    """Count jobs of a type that begin for its rates."""
    for limit in limits:
        if limit.window_ms:
            row = (_rate_of(queue, limit), now, number)
            transaction.connection.execute(SQL["note_starts"], row)


def take_places(transaction: Transaction, claims: Sequence[PlaceClaim], now: int) -> list[int]:
    """Let claimed jobs in; return for each 0, or after how many ms its limit is looked at again."""
    return [_take(transaction, wanted, now) for wanted in claims]


def _take(transaction: Transaction, wanted: PlaceClaim, now: int) -> int:
    token = wanted.claimed.token
    found = transaction.connection.execute(
        SQL["claimed_row"], (token.locator, token.fence, token.job_id)
    ).fetchone()
    if found is None:
        return LIMIT_CHECK_MS
    position, queue, has_places = found
    if has_places:
        return 0
    for each in wanted.limits:
        room, ahead = _room_of(transaction, each.digest, each.limit, now)
        if room <= 0:
            _queue_behind(transaction, token, each, queue, position)
            return ahead
    for each in wanted.limits:
        if each.limit.window_ms:
            transaction.connection.execute(SQL["note_starts"], (each.digest, now, 1))
        _add_place(transaction, token, each, None)
    return 0


def _queue_behind(
    transaction: Transaction, token: LeaseToken, limit: KeyedLimit, queue: int, position: int
) -> None:
    transaction.connection.execute(SQL["queue_again"], (token.locator,))
    transaction.move(queue, PROCESSING, QUEUED)
    transaction.count(queue, "claimed", -1)
    _add_place(transaction, token, limit, position)


def _add_place(
    transaction: Transaction, token: LeaseToken, each: KeyedLimit, position: int | None
) -> None:
    limit = each.limit
    row = (token.locator, each.digest, position, each.text, limit.most, limit.window_ms)
    transaction.connection.execute(SQL["take_place"], row)


def note_ended(transaction: Transaction, rows: Sequence[int], queues: Sequence[int]) -> None:
    """Let others in after jobs have stopped running; `queues` are those of their types."""
    limited = {row[0] for row in transaction.connection.execute(SQL["limited"])}
    if not limited:
        return
    if ANY_PLACE in limited:
        for row in rows:
            _leave(transaction, row)
    transaction.lets_in = transaction.lets_in or not limited.isdisjoint(queues)


def _leave(transaction: Transaction, row: int) -> None:
    execute = transaction.connection.execute
    places = execute(SQL["places_of"], (row,)).fetchall()
    if not places:
        return
    execute(SQL["leave_places"], (row,))
    for digest, window_ms in places:
        if not window_ms:
            _let_in(transaction, digest, 1)


def _let_in(transaction: Transaction, digest: str, number: int) -> None:
    execute = transaction.connection.execute
    for (row,) in execute(SQL["first_behind"], (digest, number)).fetchall():
        execute(SQL["leave_places"], (row,))
        execute(SQL["let_in"], (row,))
        transaction.lets_in = True


def look_at_limits(transaction: Transaction, now: int) -> int | None:
    """Let in jobs whose limit has room; return the ms until it is looked at again, None if no job waits.

    Beside what `note_ended` does at once, this is for windows that have passed, for limits that
    were changed, and for jobs that an operator has moved.
    """
    execute = transaction.connection.execute
    execute(SQL["forget_stale_places"])
    if execute(SQL["let_in_forgotten"]).rowcount:
        transaction.lets_in = True
    next_ms = None
    for digest, most, window_ms in execute(SQL["waited_for"]).fetchall():
        room, ahead = _room_of(transaction, digest, Limit(most, window_ms), now)
        if room > 0:
            _let_in(transaction, digest, min(room, LET_IN_AT_ONCE))
        next_ms = ahead if next_ms is None else min(next_ms, ahead)
    return next_ms


def _room_of(transaction: Transaction, digest: str, limit: Limit, now: int) -> tuple[int, int]:
    execute = transaction.connection.execute
    if not limit.window_ms:
        [holders] = execute(SQL["holders"], (digest,)).fetchone()
        return limit.most - int(holders), LIMIT_CHECK_MS
    execute(SQL["forget_starts"], (digest, now - limit.window_ms, now))
    begun, oldest = execute(SQL["recent_starts"], (digest,)).fetchone()
    return limit.most - int(begun), max(1, (oldest or now) + limit.window_ms - now)


def _rate_of(queue: int, limit: Limit) -> str:
    text = f"{queue}\n{limit.window_ms}"
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
