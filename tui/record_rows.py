"""The rows of cases and of events. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hms_svc.domain.case import Case, CaseStatus
from hms_svc.domain.event import JOB_DEAD, JOB_FAILED, Event
from hms_svc.tui import formats as f
from hms_svc.tui.rows import age_cell
from hms_svc.tui.snapshot import job_type_of
from hms_svc.tui.text import Cell, Role, Row, cell

_FAILED: Final = frozenset({JOB_DEAD, JOB_FAILED})


def case_rows(cases: Iterable[Case], now: int) -> list[Row]:
    """Return the rows of cases."""
    return [
        Row(
            key=case.id,
            cells=(
                cell(case.id),
                Cell("● open", "good")
                if case.status is CaseStatus.OPEN
                else Cell("○ closed", "dim"),
                cell(case.kind),
                cell(
                    "" if case.urgency is None else case.urgency,
                    _urgency_role(case.urgency),
                    rank=case.urgency,
                ),
                age_cell(case.opened_at, now),
                cell("" if case.lat is None else f"{case.lat:.5f}, {case.lon or 0:.5f}"),
                cell(case.user_id or ""),
                cell(case.job_id, "dim"),
            ),
        )
        for case in cases
    ]


def _urgency_role(urgency: int | None) -> Role:
    if urgency is None or urgency < 50:
        return ""
    return "bad" if urgency >= 80 else "warn"


def event_rows(events: Iterable[Event]) -> list[Row]:
    """Return the rows of events."""
    return [
        Row(
            key=f"{event.position}:{event.subject}",
            cells=(
                cell(f.clock(event.at), "dim", rank=event.position),
                cell(event.type, "bad" if event.type in _FAILED else "strong"),
                cell(job_type_of(event)),
                cell(event.subject),
                cell(event.written()[:400].decode(errors="replace"), "dim"),
            ),
        )
        for event in events
    ]
