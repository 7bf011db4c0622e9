"""All that is declared about one type of job."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.job_limits import Concurrency, Rate
from hms_svc.sdk.source_places import place_of

if TYPE_CHECKING:
    from pydantic import BaseModel

    from hms_svc.domain.schedule import Schedule

Handler = Callable[..., Any]
"""Takes the running job (or nothing); plain or `async`. What it returns, as JSON, is the result."""
Validator = Callable[[Any], Any]
"""Takes the payload (the model where one is declared); False or ValidationFailed is a no."""
PayloadModel: TypeAlias = "type[BaseModel]"


class JobType(msgspec.Struct, frozen=True, kw_only=True):
    """All that is declared about one type of job. `timeout_seconds` None is the setting's."""

    type: str
    handler: Handler
    payload: PayloadModel | None = None
    validators: tuple[Validator, ...] = ()
    action: str | None = None
    retry: RetryPolicy | None = None
    timeout_seconds: float | None = None
    priority: int = 0
    slots: int | None = None
    unique: Callable[[Any], str] | None = None
    limits: tuple[Concurrency | Rate, ...] = ()
    schedule: Schedule | None = None
    schedule_data: Any = None
    replace: bool = False

    @property
    def place(self) -> str:
        """File and line of the handler, as in `city.py:12`."""
        return place_of(self.handler) or "?"
