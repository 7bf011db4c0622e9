"""`crew.notify`: notifies the street crew of a case, by a signed webhook if one is configured."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from hms_svc.domain.strict_json import encode
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.running_job import RunningJob
from hms_svc.services.webhook import DELIVERY_SLOTS, Webhook

TYPE: Final = "crew.notify"


class CrewNotice(BaseModel):
    """The notice for the crew. The place is in WGS 84 degrees; further fields are passed on."""

    model_config = ConfigDict(defer_build=True, strict=True, frozen=True, extra="allow")

    case_id: str = Field(min_length=1, max_length=128)
    kind: str = Field(default="pothole", max_length=128)
    lat: float | None = Field(default=None, ge=-90, le=90, allow_inf_nan=False)
    lon: float | None = Field(default=None, ge=-180, le=180, allow_inf_nan=False)
    urgency: int | None = Field(default=None, ge=0, le=100)
    reasons: list[Annotated[str, Field(max_length=1000)]] = Field(default=[], max_length=100)


_RECORDED: Final = set(CrewNotice.model_fields)
"""Further fields of a notice are not recorded."""


class CrewService:
    """Delivers notices, or records them in the job's result if no webhook is configured."""

    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook

    async def notify(self, job: RunningJob[CrewNotice]) -> dict[str, Any]:
        """Deliver until the receiver answers 2xx; the job's id identifies the message at every attempt."""
        if not self._webhook.configured:
            notice = job.payload
            record = notice.model_dump(include=_RECORDED)
            return {"delivered": False, "recorded": True, "notice": record}
        status = await self._webhook.deliver(
            job.id, encode({"type": TYPE, "data": job.data}), trace=job.trace_context()
        )
        return {"delivered": True, "recorded": False, "status": status}


def declare(registry: Registry, *, webhook: Webhook) -> None:
    """Add the type to a registry."""
    slots = DELIVERY_SLOTS if webhook.configured else None
    registry.job(TYPE, payload=CrewNotice, slots=slots)(CrewService(webhook).notify)
