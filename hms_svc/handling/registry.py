"""Type to handler: what a service declares about each type of job it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import msgspec

from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.errors import BadInput
from hms_svc.domain.ids import check_job_type

if TYPE_CHECKING:
    from pydantic import BaseModel

    from hms_svc.domain.schedule import Schedule

Handler = Callable[..., Any]
"""Takes the running job (or nothing); plain or `async`. What it returns, as JSON, is the result."""
Validator = Callable[[Any], Any]
"""Takes the payload (the model where one is declared); False or ValidationFailed is a no."""
PayloadModel: TypeAlias = "type[BaseModel]"
HandlerT = TypeVar("HandlerT", bound=Handler)


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
    unique: Callable[[Any], str] | None = None
    schedule: Schedule | None = None
    schedule_data: Any = None


class Registry:
    """The job types of one application."""

    def __init__(self) -> None:
        self._types: dict[str, JobType] = {}

    def job(
        self,
        type: str,
        *,
        payload: type[BaseModel] | None = None,
        validators: Sequence[Validator] = (),
        action: str | None = None,
        retry: RetryPolicy | None = None,
        timeout_seconds: float | None = None,
        priority: int = 0,
        unique: Callable[[Any], str] | None = None,
        schedule: str | None = None,
        schedule_data: Any = None,
        time_zone: str = "UTC",
    ) -> Callable[[HandlerT], HandlerT]:
        """Declare the decorated function as the handler of a type.

        `payload` is the pydantic model of the data; `validators` must all say
        yes; `action` is vetted by governance after them, before the handler;
        `unique` gives the key under which a second waiting job is refused;
        `schedule` is five cron fields, by the clocks of `time_zone`: at each tick
        one job with `schedule_data` is enqueued, however many workers live.
        """
        kept = _read_schedule(schedule, time_zone) if schedule is not None else None

        def declare(handler: HandlerT) -> HandlerT:
            self.add(
                JobType(
                    type=type,
                    handler=handler,
                    payload=payload,
                    validators=tuple(validators),
                    action=action,
                    retry=retry,
                    timeout_seconds=timeout_seconds,
                    priority=priority,
                    unique=unique,
                    schedule=kept,
                    schedule_data=schedule_data,
                )
            )
            return handler

        return declare

    def add(self, job_type: JobType) -> None:
        """Add one declaration; a type that is declared already is BadInput."""
        check_job_type(job_type.type)
        if job_type.type in self._types:
            raise BadInput(f"type {job_type.type} is declared twice")
        self._types[job_type.type] = job_type

    def include(self, other: Registry) -> None:
        """Add all declarations of another registry; its own word replaces ours."""
        self._types.update(other._types)

    def get(self, type: str) -> JobType | None:
        """Give the declaration of a type, None where there is none."""
        return self._types.get(type)

    def only(self, types: Sequence[str]) -> Registry:
        """Give a registry of just these types; one that nobody declared is BadInput."""
        chosen = Registry()
        for type in types:
            found = self._types.get(type)
            if found is None:
                known = ", ".join(sorted(self._types))
                raise BadInput(f"no handler for type {type!r}; there are: {known}")
            chosen._types[type] = found
        return chosen

    def __iter__(self) -> Iterator[JobType]:
        return iter(self._types.values())

    def __len__(self) -> int:
        return len(self._types)


def _read_schedule(cron: str, time_zone: str) -> Schedule:
    from hms_svc.domain.schedule import make_schedule

    return make_schedule(cron, time_zone)
