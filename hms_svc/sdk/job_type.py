"""All that is declared about one type of job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.job import FIRST_VERSION
from hms_svc.domain.job_limits import Concurrency, Rate
from hms_svc.domain.uniqueness import Debounce, KeyFunction, Unique
from hms_svc.sdk.source_places import place_of

if TYPE_CHECKING:
    from pydantic import BaseModel

    from hms_svc.domain.overlap import Overlap
    from hms_svc.domain.schedule import Schedule

Handler = Callable[..., Any]
"""Takes the running job (or nothing); plain or `async`. What it returns, as JSON, is the result."""
Upgrade = Callable[[Any], Any]
"""Takes the data of one version, as JSON values, and returns that of the next."""
Validator = Callable[[Any], Any]
"""Takes the payload (the model where one is declared); False or ValidationFailed is a no."""
Isolate: TypeAlias = Literal["process"]
"""Where the handler runs: in a process of its own, which can be ended."""
PayloadModel: TypeAlias = "type[BaseModel]"
NO_UPGRADES: Final[Mapping[int, Upgrade]] = MappingProxyType({})


class JobType(msgspec.Struct, frozen=True, kw_only=True):
    """All that is declared about one type of job. `timeout_seconds` None is the setting's.

    `upgrade` maps each version of the payload below `version` to a function that makes the next.
    """

    type: str
    handler: Handler
    payload: PayloadModel | None = None
    validators: tuple[Validator, ...] = ()
    action: str | None = None
    retry: RetryPolicy | None = None
    timeout_seconds: float | None = None
    priority: int = 0
    slots: int | None = None
    weight: int = 1
    unique: KeyFunction | Unique[Any] | Debounce[Any] | None = None
    limits: tuple[Concurrency[Any] | Rate[Any], ...] = ()
    schedule: Schedule | None = None
    schedule_data: Any = None
    overlap: Overlap = "allow"
    catch_up: int = 1
    replace: bool = False
    isolate: Isolate | None = None
    memory_mb: int | None = None
    jobs_per_process: int | None = None
    version: int = FIRST_VERSION
    upgrade: Mapping[int, Upgrade] = NO_UPGRADES

    @property
    def place(self) -> str:
        """File and line of the handler, as in `city.py:12`."""
        return place_of(self.handler) or "?"
