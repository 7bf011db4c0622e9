"""The built-in job types, one a file: the living example for users."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hms_svc.handling.registry import Registry


def builtin_registry(
    *,
    reports_per_hour: int = 10,
    blocked_users: Sequence[str] = (),
    places_file: Path | None = None,
    webhook_url: str = "",
    webhook_secret: str = "",
    webhook_allowed_hosts: Sequence[str] = (),
    ready: bool = False,
) -> Registry:
    """Declare every built-in type. The arguments are the settings of the same names.

    With `ready`, as workers want it, what the handlers will need is read and
    checked now: a places file or webhook that cannot be used is BadSetting.
    Without it nothing is read: enough for checking payloads.
    """
    from hms_svc.handling.registry import Registry
    from hms_svc.services import analysis_run, crew_notify, drill_run, pothole_report
    from hms_svc.services.places import Places
    from hms_svc.services.webhook import Webhook

    places = Places(places_file)
    webhook = Webhook(webhook_url, secret=webhook_secret, allowed_hosts=webhook_allowed_hosts)
    if ready:
        places.load()
        webhook.check()
    registry = Registry()
    pothole_report.declare(
        registry,
        places=places,
        reports_per_hour=reports_per_hour,
        blocked_users=frozenset(blocked_users),
    )
    crew_notify.declare(registry, webhook=webhook)
    analysis_run.declare(registry, places=places)
    drill_run.declare(registry)
    return registry
