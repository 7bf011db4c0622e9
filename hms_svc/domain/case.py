"""Cases: the rows that jobs such as a pothole report create."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from hms_svc.domain.strict_json import JsonValue, decode
from hms_svc.domain.timestamps import to_rfc3339


class CaseStatus(StrEnum):
    """A closed case no longer stands in the way of a new one at its place."""

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

    def to_json(self) -> dict[str, JsonValue]:
        """Return the shape of `cases list`, with the payload and the closing time beside it."""
        return {
            "id": self.id,
            "job_id": self.job_id,
            "kind": self.kind,
            "lat": self.lat,
            "lon": self.lon,
            "user_id": self.user_id,
            "urgency": self.urgency,
            "status": self.status.value,
            "opened_at": to_rfc3339(self.opened_at),
            "closed_at": to_rfc3339(self.closed_at) if self.closed_at else None,
            "data": decode(self.data),
        }
