"""`envelope.receive`: an envelope that no mapping matched; a retry delivers it once one does."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict, Field

from hms_svc.domain.agencies import Agencies
from hms_svc.domain.envelopes import RECEIVE, read_envelope
from hms_svc.domain.errors import BadInput
from hms_svc.domain.outcome import DeadLetter
from hms_svc.ports.broker import Acceptance
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.running_job import RunningJob

TYPE: Final = RECEIVE


class ReceivedEnvelope(BaseModel):
    """A CloudEvent 1.0 as JSON; further attributes are passed on."""

    model_config = ConfigDict(defer_build=True, strict=True, frozen=True, extra="allow")

    id: str = Field(min_length=1, max_length=1024)
    source: str = Field(min_length=1, max_length=1024)
    type: str = Field(min_length=1, max_length=1024)


class EnvelopeService:
    """Looks up the mapping again, in the current agencies file."""

    def __init__(self, agencies: Agencies) -> None:
        self._agencies = agencies

    async def receive(self, job: RunningJob) -> dict[str, Any] | DeadLetter:
        """Enqueue the job that the envelope becomes, or keep it as a dead letter."""
        try:
            envelope = read_envelope(job.data)
        except BadInput as error:
            return DeadLetter(f"not a CloudEvent 1.0: {error}")
        type = self._agencies.job_type_of(envelope.source, envelope.type)
        if type is None:
            return DeadLetter(
                f"no mapping matches {envelope.type} of {envelope.source}: "
                "correct the agencies file, restart the workers, then retry"
            )
        made = envelope.to_job(type, job.claimed.claimed_at)
        carried = job.claimed.job
        made = replace(made, traceparent=carried.traceparent, tracestate=carried.tracestate)
        [answer] = await job.broker.enqueue([made])
        if answer.acceptance is Acceptance.CONFLICT:
            return DeadLetter(f"job {made.id} exists with another type or other data")
        return {"job_id": made.id, "type": type}


def declare(registry: Registry, *, agencies: Agencies) -> None:
    """Add the type to a registry."""
    registry.job(TYPE, payload=ReceivedEnvelope)(EnvelopeService(agencies).receive)
