"""The built-in job types, one per file; also examples for users."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hms_svc.domain.agencies import Agencies

if TYPE_CHECKING:
    from hms_svc.sdk.registry import Registry


PRODUCED: Final = frozenset({"pothole.report", "crew.notify", "analysis.run", "drill.run"})
"""The built-in types that producers submit."""
INTERNAL: Final = frozenset({"envelope.receive", "event.deliver"})
"""The built-in types whose jobs hms-svc creates itself: they are served always."""


def builtin_registry(
    *,
    reports_per_hour: int = 10,
    blocked_users: Sequence[str] = (),
    places_file: Path | None = None,
    webhook_url: str = "",
    webhook_secret: str = "",
    webhook_allowed_hosts: Sequence[str] = (),
    ca_file: Path | None = None,
    agencies: Agencies | None = None,
    ready: bool = False,
    only: Collection[str] | None = None,
) -> Registry:
    """Return a registry of all built-in types. The arguments are the settings of the same names.

    `agencies` is the content of the agencies file; None means no agencies.

    `only` leaves all others out, unloaded: enough for validating payloads of these types.
    With `ready`, as workers require it, what the handlers will need is loaded and
    checked now: an unusable places file or webhook is BadSetting.
    Without it nothing is loaded: enough for validating payloads.
    """
    from hms_svc.sdk.registry import Registry
    from hms_svc.services.places import Places
    from hms_svc.services.webhook import Webhook

    places = Places(places_file)
    webhook = Webhook(
        webhook_url, secret=webhook_secret, allowed_hosts=webhook_allowed_hosts, ca_file=ca_file
    )
    if ready:
        places.load()
        webhook.check()
    agencies = agencies or Agencies()
    registry = Registry()
    if only is None or "pothole.report" in only:
        from hms_svc.services import pothole_report

        pothole_report.declare(
            registry,
            places=places,
            reports_per_hour=reports_per_hour,
            blocked_users=frozenset(blocked_users),
        )
    if only is None or "crew.notify" in only:
        from hms_svc.services import crew_notify

        crew_notify.declare(registry, webhook=webhook)
    if only is None or "analysis.run" in only:
        from hms_svc.services import analysis_run

        analysis_run.declare(registry, places=places)
    if only is None or "drill.run" in only:
        from hms_svc.services import drill_run

        drill_run.declare(registry)
    if only is None or "envelope.receive" in only:
        from hms_svc.services import envelope_receive

        envelope_receive.declare(registry, agencies=agencies)
    if only is None or "event.deliver" in only:
        from hms_svc.services import event_deliver

        event_deliver.declare(
            registry,
            receivers=agencies.receivers,
            allowed_hosts=webhook_allowed_hosts,
            ca_file=ca_file,
        )
    return registry
