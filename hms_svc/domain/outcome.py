"""How a run can end: what a handler may request, and what the runtime decides."""

from __future__ import annotations

import msgspec

from hms_svc.domain.lifecycle import State, Trigger


class JobOutcome(Exception):
    """What a handler or a validator may request of the runtime, by returning or raising it."""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))


class RetryLater(JobOutcome):
    """Count this attempt as failed and try again after the delay, by default the policy's."""

    __match_args__ = ("after_seconds", "why")

    def __init__(self, after_seconds: float | None = None, why: str | None = "") -> None:
        super().__init__(after_seconds, why)
        self.after_seconds = after_seconds
        self.why = "" if why is None else why


class Snooze(JobOutcome):
    """Run again after the delay, without counting this attempt."""

    __match_args__ = ("for_seconds", "why")

    def __init__(self, for_seconds: float, why: str | None = "") -> None:
        super().__init__(for_seconds, why)
        self.for_seconds = for_seconds
        self.why = "" if why is None else why


class Cancel(JobOutcome):
    """Cancel this job. A job that has a case ends `dead`, `cancelled`, with its case named."""

    __match_args__ = ("why",)

    def __init__(self, why: str | None = "") -> None:
        super().__init__(why)
        self.why = "" if why is None else why


class DeadLetter(JobOutcome):
    """Give up on this job at once, without another attempt."""

    __match_args__ = ("why",)

    def __init__(self, why: str | None = "") -> None:
        super().__init__(why)
        self.why = "" if why is None else why


class Failure(msgspec.Struct, frozen=True):
    """What went wrong in an attempt: the error's class, its message and its traceback."""

    kind: str
    message: str
    traceback: str = ""


class Disposition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What becomes of a claimed job: one value for every way in which a run can end or continue.

    `delay_ms` belongs to `retrying` and `scheduled`: how long it waits, by the clock of the broker; `give_back` undoes
    the count of this attempt, `counted_give_back` adds to its limited number.
    `hold` is (action, rule, payload digest) of a held job. `uncertain`: the case database may
    contain an effect of this run that was not confirmed, so the job must not end as if it had none.
    """

    state: State
    trigger: Trigger
    reason: str = ""
    by: str = ""
    detail: str = ""
    result: bytes | None = None
    failure: Failure | None = None
    delay_ms: int = 0
    give_back: bool = False
    counted_give_back: bool = False
    case_id: str | None = None
    hold: tuple[str, str, str] | None = None
    log: str = ""
    uncertain: bool = False
