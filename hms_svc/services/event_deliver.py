"""`event.deliver`: notifies a receiver of the agencies file of one event, by a signed webhook."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from hms_svc.domain.agencies import Receiver
from hms_svc.domain.deliveries import DELIVER
from hms_svc.domain.errors import DeliveryFailed
from hms_svc.domain.outcome import DeadLetter
from hms_svc.domain.strict_json import encode
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.running_job import RunningJob
from hms_svc.services.webhook import DELIVERY_SLOTS, Webhook

TYPE: Final = DELIVER
GONE: Final = 410


class Delivery(BaseModel):
    """The receiver's name in the agencies file, and the CloudEvent that is posted."""

    model_config = ConfigDict(defer_build=True, strict=True, frozen=True)

    receiver: str = Field(min_length=1, max_length=63)
    event: dict[str, Any]


class DeliveryService:
    """Delivers to the current receivers: a job for a removed one is given up."""

    def __init__(
        self,
        receivers: Sequence[Receiver],
        allowed_hosts: Sequence[str],
        ca_file: Path | None = None,
    ) -> None:
        self._webhooks = {each.name: _webhook(each, allowed_hosts, ca_file) for each in receivers}

    async def deliver(self, job: RunningJob[Delivery]) -> dict[str, Any] | DeadLetter:
        """Deliver until the receiver answers 2xx; the event's id identifies the message at every attempt."""
        delivery = job.payload
        webhook = self._webhooks.get(delivery.receiver)
        if webhook is None:
            return DeadLetter(
                f"receiver {delivery.receiver} is not in the agencies file: "
                "discard the job; or add the receiver again, restart the workers, then retry"
            )
        message_id = str(delivery.event.get("id", job.id))
        try:
            status = await webhook.deliver(
                message_id,
                encode(delivery.event),
                content_type="application/cloudevents+json",
                trace=job.trace_context(),
            )
        except DeliveryFailed as error:
            if error.status == GONE:
                return DeadLetter(f"receiver {delivery.receiver} answered 410, gone for good")
            raise
        return {"status": status}


def declare(
    registry: Registry,
    *,
    receivers: Sequence[Receiver],
    allowed_hosts: Sequence[str],
    ca_file: Path | None = None,
) -> None:
    """Add the type to a registry."""
    service = DeliveryService(receivers, allowed_hosts, ca_file)
    registry.job(TYPE, payload=Delivery, slots=DELIVERY_SLOTS)(service.deliver)


def _webhook(receiver: Receiver, allowed_hosts: Sequence[str], ca_file: Path | None) -> Webhook:
    own = (urlsplit(receiver.url).hostname or "",) if receiver.allow_private else ()
    return Webhook(
        receiver.url,
        secret=receiver.secret,
        allowed_hosts=(*allowed_hosts, *own),
        name=f"url of receiver {receiver.name}",
        ca_file=ca_file,
    )
