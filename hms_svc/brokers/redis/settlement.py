"""Settlements as the script `settle` takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from hms_svc.brokers.codes import CODE_OF
from hms_svc.brokers.failures import cause_of_end
from hms_svc.brokers.history import failure_text, line
from hms_svc.brokers.redis.calls import ScriptCall
from hms_svc.brokers.redis.job_calls import Settled, SettledRow, SettlementKind, settle
from hms_svc.brokers.redis.record import RecordOutcome, write_json
from hms_svc.brokers.settlement_events import counters_of, event_data, events_of, step_of
from hms_svc.domain.causes import GROUPED
from hms_svc.domain.lifecycle import DELAYED
from hms_svc.ports.broker import Settlement


def settle_call(settlements: Sequence[Settlement], marks: Mapping[int, int]) -> ScriptCall[Settled]:
    """Return the call that settles claims; `marks` by fence are the same when it is repeated."""
    kinds: dict[SettlementKind, int] = {}
    rows = [_row(done, marks[done.token.fence], kinds) for done in settlements]
    return settle(rows, list(kinds))


def _row(settlement: Settlement, mark: int, kinds: dict[SettlementKind, int]) -> SettledRow:
    done, token = settlement.disposition, settlement.token
    events = events_of(done)
    kind = SettlementKind(
        CODE_OF[done.state],
        done.give_back,
        done.counted_give_back,
        mark,
        events,
        counters_of(done),
    )
    outcome = RecordOutcome(
        reason=done.reason,
        by=done.by,
        detail=done.detail,
        result=msgspec.Raw(done.result or b"null"),
        failure=failure_text(done.failure),
        hold=done.hold,
    )
    row = (
        token.job_id,
        str(token.fence),
        str(settlement.ended_at),
        kinds.setdefault(kind, len(kinds) + 1),
        write_json(outcome).decode(),
        line(step_of(settlement)),
        write_json(event_data(settlement)).decode() if events else "",
        done.case_id or ("?" if done.uncertain else ""),
    )
    if done.state in GROUPED or done.state in DELAYED:
        delay = done.delay_ms if done.state in DELAYED else False
        cause = cause_of_end(settlement.type, done).id if done.state in GROUPED else False
        return *row, delay, cause
    return row
