"""The steps and the cursor of a running job: what an attempt has done is kept for the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from inspect import isawaitable, iscoroutinefunction
from typing import Any, Final, Protocol

from hms_svc.domain.errors import BadInput, MalformedJson
from hms_svc.domain.job import CURSOR, ClaimedJob, LeaseToken
from hms_svc.domain.strict_json import check_strict, decode, encode
from hms_svc.sdk.own_thread import must_await, on_own_thread
from hms_svc.sdk.payload import plain_data

MOST_NAME_CHARACTERS: Final = 200
MOST_STEP_BYTES: Final = 1024 * 1024
MOST_CURSOR_BYTES: Final = 64 * 1024


class StepKeeper(Protocol):
    """Keeps results and cursors under the lease of their job."""

    async def keep(self, token: LeaseToken, name: str, value: bytes) -> None:
        """Keep a result durably; raises LeaseLost, and BadInput beyond the number of steps."""
        ...

    def keep_cursor(self, token: LeaseToken, value: bytes) -> None:
        """Keep a cursor soon, at the latest before the job is settled; may be called from any thread."""
        ...


class _NoSteps:
    """Keeps nothing: in a dry run."""

    async def keep(self, token: LeaseToken, name: str, value: bytes) -> None:
        pass

    def keep_cursor(self, token: LeaseToken, value: bytes) -> None:
        pass


NO_STEPS: Final[StepKeeper] = _NoSteps()


class JobSteps:
    """The kept steps of one job, from earlier attempts and from this one."""

    def __init__(
        self, claimed: ClaimedJob, loop: asyncio.AbstractEventLoop, keeper: StepKeeper
    ) -> None:
        self._token = claimed.token
        self._loop = loop
        self._keeper = keeper
        self._kept = dict(claimed.steps or {})

    @property
    def cursor(self) -> Any:
        """What was kept last as the cursor, None at first."""
        raw = self._kept.get(CURSOR)
        return None if raw is None else decode(raw)

    @cursor.setter
    def cursor(self, value: Any) -> None:
        raw = _encoded(self._token.job_id, "the cursor", value, MOST_CURSOR_BYTES)
        self._kept[CURSOR] = raw
        self._keeper.keep_cursor(self._token, raw)

    def run(
        self, name: str, function: Callable[..., Any], *given: Any, **named: Any
    ) -> Coroutine[Any, Any, Any]:
        """See RunningJob.step; a plain function runs on a thread."""
        must_await("job.step", "job.step_blocking")
        return self._run(name, partial(function, *given, **named))

    async def _run(self, name: str, function: Callable[[], Any]) -> Any:
        if (kept := self._found(name)) is not None:
            return decode(kept)
        if iscoroutinefunction(function):
            result = await function()
        else:
            result = await on_own_thread(function)
        while isawaitable(result):
            result = await result
        return await self._keep(name, result)

    def run_blocking(
        self, name: str, function: Callable[..., Any], *given: Any, **named: Any
    ) -> Any:
        """See RunningJob.step_blocking."""
        if (kept := self._found(name)) is not None:
            return decode(kept)
        result = function(*given, **named)
        return asyncio.run_coroutine_threadsafe(self._keep(name, result), self._loop).result()

    def _found(self, name: str) -> bytes | None:
        if not isinstance(name, str) or not 1 <= len(name) <= MOST_NAME_CHARACTERS:
            raise BadInput(
                f"the name of a step is text of 1 to {MOST_NAME_CHARACTERS} characters, "
                f"not {name!r:.80}"
            )
        return self._kept.get(name)

    async def _keep(self, name: str, result: Any) -> Any:
        raw = _encoded(self._token.job_id, f"the result of step {name!r}", result, MOST_STEP_BYTES)
        await self._keeper.keep(self._token, name, raw)
        self._kept[name] = raw
        return decode(raw)


def _encoded(job_id: str, what: str, value: Any, most: int) -> bytes:
    plain = plain_data(value)
    try:
        check_strict(plain)
        raw = encode(plain)
    except (MalformedJson, TypeError) as error:
        raise BadInput(f"job {job_id}: {what} cannot be encoded as JSON: {error}") from error
    if len(raw) > most:
        raise BadInput(f"job {job_id}: {what} has {len(raw)} bytes; the limit is {most}")
    return raw
