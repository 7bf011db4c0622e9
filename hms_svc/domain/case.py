"""Cases: the rows that jobs such as a pothole report create."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class CaseStatus(StrEnum):
    """The status of a case. An open case is the only open one of its kind at its place."""

    OPEN = "open"
    CLOSED = "closed"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One case. Latitude and longitude are WGS 84 degrees; times Unix milliseconds."""

    id: str
    job_id: str
    key: str
    kind: str
    lat: float | None
    lon: float | None
    user_id: str | None
    urgency: int | None
    status: CaseStatus
    opened_at: int
    closed_at: int | None = None
    data: bytes = b"{}"
