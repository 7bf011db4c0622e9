"""`pothole.report`: a citizen's report becomes a case, once, with the crew on its way."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.errors import DuplicateCase, ValidationFailed
from hms_svc.domain.ids import case_id, follow_up_id
from hms_svc.domain.job import Job, encode_data
from hms_svc.domain.strict_json import JsonValue
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.running_job import RunningJob, current_job
from hms_svc.services import crew_notify
from hms_svc.services.places import Places
from hms_svc.services.urgency import Assessment, assess

TYPE: Final = "pothole.report"
KIND: Final = "pothole"
ACTION: Final = "create_case"
USER_ID: Final = re.compile(r"usr-[A-Za-z0-9]{1,32}")


class PotholeReport(BaseModel):
    """A report. The place is in WGS 84 degrees; further fields are kept with the case."""

    model_config = ConfigDict(defer_build=True, strict=True, frozen=True, extra="allow")

    user_id: str
    lat: float = Field(ge=-90, le=90, allow_inf_nan=False)
    lon: float = Field(ge=-180, le=180, allow_inf_nan=False)
    photo: str | None = Field(default=None, max_length=2048)
    description: str | None = Field(default=None, max_length=4000)


class PotholeService:
    """The five steps: identity, duplicate, urgency, case, notify."""

    def __init__(
        self, places: Places, *, reports_per_hour: int, blocked_users: frozenset[str]
    ) -> None:
        self._places = places
        self._reports_per_hour = reports_per_hour
        self._blocked_users = blocked_users

    async def identity(self, report: PotholeReport) -> None:
        """Reject malformed and blocked users, and those with too many reports within the hour."""
        user = report.user_id
        if not USER_ID.fullmatch(user):
            raise ValidationFailed(
                f"user_id {user!r:.80} is not usr- followed by 1 to 32 letters or digits, such as usr-44321"
            )
        if user in self._blocked_users:
            raise ValidationFailed(f"user {user} is blocked")
        reports = await current_job().dao.count_reports(user)
        if reports > self._reports_per_hour:
            raise ValidationFailed(
                f"report {reports} of {user} within an hour; the limit is {self._reports_per_hour}"
            )

    async def duplicate(self, report: PotholeReport) -> None:
        """Reject a pothole that has an open case already. The insert checks again, under a lock."""
        near = await current_job().dao.nearest_case(report.lat, report.lon, kind=KIND)
        if near is not None:
            raise DuplicateCase(
                f"open case {near.case_id} is {near.distance_m:.1f} m away",
                case_id=near.case_id,
            )

    async def open_case(self, job: RunningJob[PotholeReport]) -> dict[str, Any]:
        """Open the case with its urgency, and send the crew."""
        report = job.payload
        found = assess(self._places.load(), report.lat, report.lon)
        case = await job.dao.insert_case(
            job.data, kind=KIND, urgency=found.urgency, follow_ups=(_notice(job, report, found),)
        )
        return {"case_id": case, "urgency": found.urgency, "reasons": list(found.reasons)}


def declare(
    registry: Registry, *, places: Places, reports_per_hour: int, blocked_users: frozenset[str]
) -> None:
    """Add the type to a registry."""
    service = PotholeService(places, reports_per_hour=reports_per_hour, blocked_users=blocked_users)
    registry.job(
        TYPE,
        payload=PotholeReport,
        validators=(service.identity, service.duplicate),
        action=ACTION,
        retry=RetryPolicy(max_attempts=5),
    )(service.open_case)


def _notice(job: RunningJob, report: PotholeReport, found: Assessment) -> Job:
    data: dict[str, JsonValue] = {
        "case_id": case_id(job.id, ""),
        "kind": KIND,
        "lat": report.lat,
        "lon": report.lon,
        "urgency": found.urgency,
        "reasons": list(found.reasons),
    }
    return Job(
        id=follow_up_id(job.id, crew_notify.TYPE),
        type=crew_notify.TYPE,
        data=encode_data(data),
        enqueued_at=job.claimed.claimed_at,
    )
