"""The limits that types declare: how many of their jobs run at the same time, and how many begin within a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from hms_svc.brokers.codes import PROCESSING, QUEUED
from hms_svc.brokers.limits import (
    EXPIRED_AT_ONCE,
    LET_IN_AT_ONCE,
    LIMIT_CHECK_MS,
    LIMITS_AT_ONCE,
)
from hms_svc.brokers.sqlite.statements import statements_of
from hms_svc.brokers.sqlite.transaction import FileTransaction
from hms_svc.brokers.type_limits import read_keyed_limits, read_limits
from hms_svc.brokers.unreported_ends import is_expired
from hms_svc.domain.job import LeaseToken
from hms_svc.domain.job_limits import KeyedLimit, Limit
from hms_svc.domain.strict_json import encode
from hms_svc.ports.key_claims import PlaceClaim

SQL: Final = statements_of("limits.sql")


def room_in_queue(
    transaction: FileTransaction, queue: int, limits: Sequence[Limit], now: int
) -> tuple[int, int]:
    """Return how many more jobs the limits of a whole type let begin, and after how many ms to ask again if none may."""
    rooms = []
    for limit in limits:
        if limit.window_ms:
            rooms.append(_room_of(transaction, _rate_of(queue, limit.window_ms), limit, now))
        else:
            [running] = transaction.connection.execute(SQL["running"], (queue,)).fetchone()
            rooms.append((limit.most - int(running), LIMIT_CHECK_MS))
    full = [ahead for room, ahead in rooms if room <= 0]
    return min(room for room, _ in rooms), min(full, default=LIMIT_CHECK_MS)


def note_starts_in_queue(
    transaction: FileTransaction, queue: int, limits: Sequence[Limit], number: int, now: int
) -> None:
    """Count jobs of a type that begin for its rates."""
    for window_ms in _windows_of(limits):
        _note_starts(transaction, _rate_of(queue, window_ms), window_ms, number, now)


def _note_starts(
    transaction: FileTransaction, digest: str, window_ms: int, number: int, now: int
) -> None:
    row = (digest, now, now + window_ms, number)
    transaction.connection.execute(SQL["note_starts"], row)
    transaction.connection.execute(SQL["forget_some_starts"], (now,))


def take_places(transaction: FileTransaction, claims: Sequence[PlaceClaim], now: int) -> list[bool]:
    """Let claimed jobs in; return for each whether it may run."""
    return [_take(transaction, wanted, now) for wanted in claims]


def _take(transaction: FileTransaction, wanted: PlaceClaim, now: int) -> bool:
    token = wanted.claimed.token
    found = transaction.connection.execute(
        SQL["claimed_row"], (token.locator, token.fence, token.job_id)
    ).fetchone()
    if found is None:
        return False
    position, queue, limits, has_places = found
    if has_places:
        return True
    for each in wanted.limits:
        room, ahead = _room_of(transaction, each.digest, each.limit, now)
        if room <= 0:
            _queue_behind(transaction, token, each, queue, position)
            claimed_at = wanted.claimed.lease_until - wanted.lease_ms
            _take_back_start(transaction, queue, read_limits(limits), claimed_at)
            check = (each.digest, queue, each.number, now + ahead)
            transaction.connection.execute(SQL["look_at"], check)
            return False
    for each in wanted.limits:
        if each.limit.window_ms:
            _note_starts(transaction, each.digest, each.limit.window_ms, 1, now)
        _add_place(transaction, token, each, None)
    return True


def _queue_behind(
    transaction: FileTransaction, token: LeaseToken, limit: KeyedLimit, queue: int, position: int
) -> None:
    transaction.connection.execute(SQL["queue_again"], (token.locator,))
    transaction.move(queue, PROCESSING, QUEUED)
    transaction.count(queue, "claimed", -1)
    _add_place(transaction, token, limit, position)


def _take_back_start(
    transaction: FileTransaction, queue: int, limits: Sequence[Limit], claimed_at: int
) -> None:
    """Let the limits of a whole type no longer count a job that was claimed but does not begin."""
    for window_ms in _windows_of(limits):
        row = (_rate_of(queue, window_ms), claimed_at)
        transaction.connection.execute(SQL["take_back_start"], row)
    transaction.lets_in = transaction.lets_in or bool(limits)


def _add_place(
    transaction: FileTransaction, token: LeaseToken, each: KeyedLimit, position: int | None
) -> None:
    row = (token.locator, each.digest, position, each.text, each.limit.window_ms)
    transaction.connection.execute(SQL["take_place"], row)


def note_ended(
    transaction: FileTransaction, rows: Sequence[int], queues: Iterable[int], now: int
) -> None:
    """Let others in after jobs have stopped running; `queues` are those of their types."""
    if transaction.has_places:
        left = transaction.connection.execute(SQL["leave_places"], (encode(rows).decode(),))
        for digest, window_ms in left.fetchall():
            if not window_ms:
                _let_in(transaction, digest, 1, now)
    transaction.lets_in = transaction.lets_in or not transaction.limited.isdisjoint(queues)


def _let_in(transaction: FileTransaction, digest: str, number: int, now: int) -> int:
    """Let in so many jobs that may begin, and return how many have left.

    Those that have expired do not count: they end when they are claimed.
    """
    execute, left, most = transaction.connection.execute, 0, number + EXPIRED_AT_ONCE
    while number > 0 and left < most:
        rows = execute(SQL["first_behind"], (digest, number)).fetchall()
        if not rows:
            break
        for row, expires_at, claims in rows:
            execute(SQL["wait_no_longer"], (row,))
            execute(SQL["let_in"], (row,))
            number -= expires_at is None or not is_expired(expires_at, claims, now)
        left += len(rows)
        transaction.lets_in = True
    return left


def look_at_limits(transaction: FileTransaction, now: int, lease_now: int) -> bool:
    """Let in jobs that wait for a limit which has room; return whether there are more limits to look at now.

    Beside what `note_ended` does at once, this is for windows that have passed, and for limits that
    were changed.
    """
    execute, to_let_in = transaction.connection.execute, LET_IN_AT_ONCE
    checks = execute(SQL["due_checks"], (lease_now,)).fetchall()
    for digest, number, text in checks:
        declared = read_keyed_limits(text)
        limit = declared[number] if number < len(declared) else None
        room, ahead = to_let_in, LIMIT_CHECK_MS
        if limit is not None:
            room, ahead = _room_of(transaction, digest, limit, lease_now)
        to_let_in -= _let_in(transaction, digest, min(room, to_let_in), now)
        if to_let_in <= 0:
            return True
        execute(SQL["look_at_later"], (lease_now + ahead, digest))
        execute(SQL["forget_unneeded_check"], {"digest": digest})
    return len(checks) == LIMITS_AT_ONCE


def _room_of(transaction: FileTransaction, digest: str, limit: Limit, now: int) -> tuple[int, int]:
    """Return how many more jobs may begin, and after how many ms to look again if none may."""
    execute = transaction.connection.execute
    if not limit.window_ms:
        [holders] = execute(SQL["holders"], (digest,)).fetchone()
        return limit.most - int(holders), LIMIT_CHECK_MS
    # One far ahead is of a clock that was set back; a little ahead may be that of another process.
    bounds = (now - limit.window_ms, now + limit.window_ms)
    execute(SQL["forget_starts"], (digest, *bounds))
    begun, oldest = execute(SQL["recent_starts"], (digest,)).fetchone()
    until = (now if oldest is None else oldest) + limit.window_ms - now
    return limit.most - int(begun), max(1, min(until, LIMIT_CHECK_MS))


def _windows_of(limits: Sequence[Limit]) -> set[int]:
    """Return the windows of the rates among limits: those of one window count together."""
    return {limit.window_ms for limit in limits if limit.window_ms}


def _rate_of(queue: int, window_ms: int) -> str:
    text = f"{queue}\n{window_ms}"
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
