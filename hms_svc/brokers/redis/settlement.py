"""One settlement as the script `settle` takes it."""

from __future__ import annotations

from typing import Final

import msgspec

from hms_svc.brokers.codes import CODE_OF
from hms_svc.brokers.failures import cause_of_end
from hms_svc.brokers.history import failure_text, line
from hms_svc.brokers.redis.job_calls import SettledRow
from hms_svc.brokers.redis.record import Outcome, write_json
from hms_svc.brokers.settlement_events import counters_of, event_data, events_of, step_of
from hms_svc.domain.causes import GROUPED
from hms_svc.domain.lifecycle import DELAYED
from hms_svc.ports.broker import Settlement

_NO_EVENT: Final = ""


def settled_row(settlement: Settlement, mark: str) -> SettledRow:
    """Return one settlement; `mark` is the same when it is repeated."""
    done, token = settlement.disposition, settlement.token
    events = events_of(done)
    outcome = Outcome(
        reason=done.reason,
        by=done.by,
        detail=done.detail,
        result=msgspec.Raw(done.result or b"null"),
        failure=failure_text(done.failure),
        hold=done.hold,
    )
    return (
        token.job_id,
        str(token.fence),
        str(CODE_OF[done.state]),
        done.delay_ms if done.state in DELAYED else settlement.ended_at,
        "1" if done.give_back else "0",
        "1" if done.counted_give_back else "0",
        done.case_id or ("?" if done.uncertain else "-"),
        write_json(outcome).decode(),
        line(step_of(settlement)),
        "".join(f"{name}," for name in events),
        "".join(f"{name}," for name in counters_of(done)),
        write_json(event_data(settlement)).decode() if events else _NO_EVENT,
        settlement.ended_at,
        mark,
        cause_of_end(settlement.type, done).id if done.state in GROUPED else "0",
    )
