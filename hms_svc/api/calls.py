"""The calls of `dao` and `gov`, each written once; and the two forms of a call: blocking and awaitable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from hms_svc.api.portal import block, on_right_loop, portal
from hms_svc.domain.errors import BadInput
from hms_svc.sdk.job_context import outside_name, require_job
from hms_svc.sdk.running_job import current_job, find_job

if TYPE_CHECKING:
    from hms_svc.sdk.dao import Dao

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


async def case_exists(
    lat: float, lon: float, *, kind: str | None = None, radius_m: float | None = None
) -> bool:
    """Return whether an open case exists within the radius (25 m), leaving out the job's own."""
    return await (await _dao()).case_exists(lat, lon, kind=kind, radius_m=radius_m)


async def insert_case(
    data: Mapping[str, Any],
    key: str = "",
    events: Sequence[Mapping[str, Any]] = (),
    *,
    kind: str | None = None,
    urgency: int | None = None,
) -> str:
    """Open a case durably, once per (job, key), and return its id; see `hms_svc.sdk.dao.Dao`."""
    return await (await _dao()).insert_case(data, key, events, kind=kind, urgency=urgency)


async def transaction(write: Callable[[Any], Any], key: str = "") -> Any:
    """Run `write` in a transaction of the running job; see `hms_svc.RunningJob.transaction`."""
    job = current_job()
    return await job.dao.transaction(job, write, key)


async def vet(action: str, payload: Any) -> None:
    """Return if governance allows the action; else raise ActionDenied or ActionHeld.

    It is asked without a job: its answer binds no job, and nobody can approve it.
    """
    await (await portal().gate()).vet(action, payload)


async def _dao() -> Dao:
    """Return the running job's DAO, else that of the process."""
    job = find_job()
    return job.dao if job is not None else await portal().dao()


def awaited(
    call: Callable[Parameters, Awaitable[Result]], check: Callable[[str], None], name: str
) -> Callable[Parameters, Coroutine[Any, Any, Result]]:
    """Return the awaitable form of a call; `check` is called first with its `name`."""

    @wraps(call)
    async def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        check(name)
        return await on_right_loop(lambda: call(*args, **kwargs))

    return run


def blocking(
    call: Callable[Parameters, Awaitable[Result]],
    check: Callable[[str], None],
    name: str,
    counterpart: str,
) -> Callable[Parameters, Result]:
    """Return the blocking form of a call; `counterpart` names its awaitable form in errors."""

    @wraps(call)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        check(name)
        return block(lambda: call(*args, **kwargs), counterpart)

    return run


def check_inside(name: str) -> None:
    """Raise NoActiveJob for a call of this name without a job, in a process that runs a worker."""
    if find_job() is None:
        require_job(name)


def check_outside(name: str) -> None:
    """Raise BadInput for a call of this name inside a job: it would bypass the job's verdict and fence."""
    job = find_job()
    if job is not None:
        raise BadInput(f"{outside_name(name)}: job {job.id} is running here: call {name} instead")
