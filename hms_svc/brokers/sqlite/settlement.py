"""Settles claimed jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from hms_svc.brokers.codes import CODE_OF, PROCESSING
from hms_svc.brokers.failures import cause_of_end
from hms_svc.brokers.history import failure_text, line
from hms_svc.brokers.settlement_events import (
    as_cancelled,
    counters_of,
    event_data,
    events_of,
    step_of,
)
from hms_svc.brokers.sqlite.cancellation import CancelRequests, forget_requests, open_requests
from hms_svc.brokers.sqlite.transaction import SQL, FileTransaction
from hms_svc.brokers.sqlite.type_limits import note_ended
from hms_svc.domain.causes import GROUPED
from hms_svc.domain.job import LeaseToken
from hms_svc.domain.lifecycle import DELAYED, TERMINAL, State
from hms_svc.domain.strict_json import encode
from hms_svc.ports.broker import ProgressReport, Settlement
from hms_svc.sqlite.statements import run_many


def settle(
    transaction: FileTransaction, settlements: Sequence[Settlement], now: int
) -> list[LeaseToken]:
    """Write each settlement whose token still owns its job; return the other tokens.

    If there is a cancel request, a job that would otherwise run again is cancelled.
    """
    requests = open_requests(transaction)
    if not requests:
        return _write(transaction, settlements, now)
    refused = _write(transaction, [_as_requested(done, requests) for done in settlements], now)
    forget_requests(transaction)
    return refused


def _as_requested(settlement: Settlement, requests: CancelRequests) -> Settlement:
    token, done = settlement.token, settlement.disposition
    request = requests.get((token.locator, token.fence))
    if request is None or request.has_case or done.state in TERMINAL:
        return settlement
    if done.case_id or done.uncertain:
        return settlement
    return as_cancelled(settlement, request.by, request.detail)


def _write(
    transaction: FileTransaction, settlements: Sequence[Settlement], now: int
) -> list[LeaseToken]:
    """Write all in one statement; if one of its rows was refused, repeat them one by one."""
    connection = transaction.connection
    rows = [_row(settlement, now) for settlement in settlements]
    connection.execute("SAVEPOINT bulk")
    if run_many(connection, SQL["settle"], rows) == len(rows):
        connection.execute("RELEASE bulk")
        _record(transaction, settlements, now)
        return []
    connection.execute("ROLLBACK TO bulk")
    connection.execute("RELEASE bulk")
    owned, refused = [], []
    for settlement, row in zip(settlements, rows, strict=True):
        if connection.execute(SQL["settle"], row).rowcount == 1:
            owned.append(settlement)
        else:
            refused.append(settlement.token)
    _record(transaction, owned, now)
    return refused


def _row(settlement: Settlement, now: int) -> tuple[Any, ...]:
    token, done = settlement.token, settlement.disposition
    return (
        CODE_OF[done.state],
        now + done.delay_ms if done.state in DELAYED else settlement.ended_at,
        settlement.ended_at,
        done.reason or None,
        done.by or None,
        done.detail or None,
        done.result,
        done.case_id,
        failure_text(done.failure) if done.failure else None,
        encode(done.hold).decode() if done.hold else None,
        1 if done.give_back else 0,
        1 if done.counted_give_back else 0,
        line(step_of(settlement)),
        token.locator,
        token.fence,
        token.job_id,
    )


def _record(transaction: FileTransaction, settlements: Sequence[Settlement], now: int) -> None:
    ends: Counter[tuple[str, State, tuple[str, ...]]] = Counter()
    for settlement in settlements:
        done, token = settlement.disposition, settlement.token
        ends[settlement.type, done.state, counters_of(done)] += 1
        if done.state in GROUPED:
            _file_under_cause(transaction, settlement)
        if events := events_of(done):
            data = event_data(settlement)
            for event in events:
                transaction.announce(settlement.ended_at, event, token.job_id, token.fence, data)
    queues = {type: transaction.queue(type) for type, _, _ in ends}
    rows = [settlement.token.locator for settlement in settlements]
    note_ended(transaction, rows, queues.values(), now)
    for (type, state, counters), count in ends.items():
        queue = queues[type]
        transaction.move(queue, PROCESSING, CODE_OF[state], count)
        for counter in counters:
            transaction.count(queue, counter, count)
    if any(state is State.RETRYING for _, state, _ in ends):
        transaction.causes.limit_histories()


def _file_under_cause(transaction: FileTransaction, settlement: Settlement) -> None:
    done, job_id = settlement.disposition, settlement.token.job_id
    cause = transaction.causes.file_under(cause_of_end(settlement.type, done))
    if done.state is State.RETRYING:
        transaction.causes.note_failure(cause, job_id, settlement.ended_at)
    transaction.connection.execute(SQL["file_under"], (cause, job_id))


def record_progress(transaction: FileTransaction, reports: Sequence[ProgressReport]) -> None:
    """Append progress lines of jobs that are still owned, and limit each job's stream."""
    execute = transaction.connection.execute
    for report in reports:
        row = report.token.locator
        if execute(SQL["owned"], (row, report.token.fence)).fetchone():
            fields = {"at": report.at, "share": report.share, "message": report.message}
            execute(SQL["add_progress"], {"row": row, "log": report.log, **fields})
            execute(SQL["cap_progress"], {"row": row})
