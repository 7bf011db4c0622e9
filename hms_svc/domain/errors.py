"""The errors that hms-svc raises on purpose.

HmsError
├── BadInput                     the caller can correct it (exit 2)
│   ├── MalformedJson            bytes or values that are not strict JSON
│   ├── MalformedJob             JSON that is not a job
│   ├── MalformedJobs            some of the jobs submitted together are no jobs
│   ├── KeyReused                the idempotency key came before, with a different request
│   ├── IdConflict               the id is taken by another type or other data
│   ├── UnknownId                no such job, case, queue or worker
│   ├── BadFilter                a filter expression that does not parse
│   ├── FilterTooCostly          a filter that takes more work than one answer may
│   ├── BadSetting               a setting with a wrong value, or an unknown key
│   └── BadPolicy                a governance policy that does not parse
├── ValidationFailed             a check rejects it: the job is rejected, never retried (exit 6)
│   ├── DuplicateCase            an open case of this kind exists within the radius
│   └── ActionDenied             governance denies the action
├── ActionHeld                   governance requires a human decision
├── LeaseLost                    this worker no longer owns the job
├── EffectConflict               the effect key was used before, with different data
├── TransactionError             the function of a transaction did what is not possible inside one
├── RuleFailed                   a rule of the policy fails: an error, not a verdict
├── NotAnswered                  governance did not answer in time
├── DeliveryFailed               a webhook could not be delivered
├── HandlerExited                a handler or validator called sys.exit
├── JobFailed                    a job whose result is awaited ended without one
│   ├── JobRejected              it was rejected: by its payload, a validator, governance or its unique key
│   ├── JobDead                  it was given up
│   └── JobCancelled             a person or its handler cancelled it
├── JobNotEnded                  a job whose result is awaited did not end in time
├── HandlerProcessDied           the process of an isolated handler ended before the handler did
├── ResourceFailed               a resource of an application could not be opened
├── NoActiveJob                  something that needs the current job ran outside of one
├── WrongThread                  a blocking call on a thread whose event loop runs
├── NotAccepted                  no job of this type is accepted now: try again later
│   ├── QueueFull                the queue has reached its limit of waiting jobs
│   └── IntakePaused             an operator has paused intake
├── NotSigned                    a request without a valid signature of its sender (HTTP 401)
├── Refused                      not allowed here: read-only mode, or a missing permission (exit 6)
│   ├── BatchClosed              an operator has closed the batch: it takes no more members
│   └── HoldChanged              the hold that was to be answered is not the current one (HTTP 412)
├── SchemaMismatch               the database schema is older or newer than this program
└── Outage                       a required service cannot be reached; no attempt is counted (exit 5)
    ├── BrokerUnavailable
    │   └── BrokerReplaced       the open queue file is no longer the one at its path: restart
    ├── DatabaseUnavailable
    │   └── DatabaseReplaced     the open database file is no longer the one at its path
    ├── Replaced                 the second base of BrokerReplaced and DatabaseReplaced
    └── PolicyUnavailable

An exit code applies to the errors below it too; commands end with 1 after all others.
What only one module raises and its neighbours catch is defined there: PayloadFault, KeyFault,
ValidatorFault and MiddlewareFault in `sdk`, DrillFailed in `services`, IdentityProviderAway in `http_api`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self


class HmsError(Exception):
    """The root of all errors that hms-svc raises. They can be pickled, as by a ProcessPoolExecutor."""

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), self.args), self.__dict__


def _restored(kind: type[HmsError], args: tuple[object, ...]) -> HmsError:
    """Return an error without calling its class, whose further arguments are in its attributes."""
    error = kind.__new__(kind)
    error.args = args
    return error


class BadInput(HmsError):
    """The caller submitted something that the caller can correct."""


class MalformedJson(BadInput):
    """Bytes or values that strict JSON does not allow; the message says where and why."""


class FieldFault(NamedTuple):
    """What is wrong with one field: its path, empty for the whole, and a message."""

    field: str
    detail: str


class MalformedJob(BadInput):
    """JSON that is not a job; `field` names the part at fault, or is empty for the whole.

    `faults` has every field at fault, at least one.
    """

    def __init__(self, message: str, field: str = "", faults: Sequence[FieldFault] = ()) -> None:
        super().__init__(message)
        self.field = field
        self.faults = tuple(faults) or (FieldFault(field, message),)


class JobFault(NamedTuple):
    """What is wrong with a field of one of several jobs: its index, from 0, the field, and a message."""

    place: int
    field: str
    detail: str


class MalformedJobs(BadInput):
    """Jobs submitted together of which some are at fault, each with its index; none was accepted."""

    def __init__(self, faults: Sequence[JobFault]) -> None:
        first = faults[0]
        others = len({fault.place for fault in faults}) - 1
        more = f", and {others} more" if others else ""
        super().__init__(f"job {first.place}: {first.detail}{more}; nothing was enqueued")
        self.faults = tuple(faults)


class KeyReused(BadInput):
    """The idempotency key of a request was used before, with a different request."""


class IdConflict(BadInput):
    """The id belongs to a job of another type or with other data."""


class UnknownId(BadInput):
    """Nothing is known under this id."""


class BadFilter(BadInput):
    """A filter expression that does not parse; `position` is the 0-based character at fault."""

    def __init__(self, message: str, position: int = 0) -> None:
        super().__init__(message)
        self.position = position


class FilterTooCostly(BadInput):
    """A filter that examines more than one answer may; the message names the limit."""


class BadSetting(BadInput):
    """A setting whose value cannot be used, or an unknown key."""


class BadPolicy(BadInput):
    """A governance policy that does not parse; the message has file and line."""


class ValidationFailed(HmsError):
    """Raised by a validator, a handler or the DAO to reject the job at once, without retry.

    `validator` becomes the job's reason if it is given; otherwise the
    runtime uses the name of the validator that raised, or `handler`.
    """

    def __init__(self, detail: str | None = "", *, validator: str = "") -> None:
        super().__init__(detail)
        self.detail = "" if detail is None else detail
        self.validator = validator


class DuplicateCase(ValidationFailed):
    """An open case of the same kind exists within the radius; `case_id` is the older one."""

    def __init__(self, detail: str, *, case_id: str) -> None:
        super().__init__(detail, validator="duplicate")
        self.case_id = case_id


class ActionDenied(ValidationFailed):
    """Governance denies the action; `rule` is the id of the rule that decided."""

    def __init__(self, detail: str, *, action: str, rule: str) -> None:
        super().__init__(detail, validator="governance")
        self.action = action
        self.rule = rule


class ActionHeld(HmsError):
    """Governance holds the action for a human; the job waits in state `held`."""

    def __init__(self, detail: str, *, action: str, rule: str, digest: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.action = action
        self.rule = rule
        self.digest = digest


class LeaseLost(HmsError):
    """This worker no longer owns the job: it may neither settle it nor write effects."""


class EffectConflict(HmsError):
    """The effect (job id, key) exists with other data."""


class TransactionError(HmsError):
    """The function of a transaction did what is not possible inside one; everything was rolled back."""


class RuleFailed(HmsError):
    """A rule of the policy fails on its input; `rule` is its id. Never a verdict."""

    def __init__(self, detail: str, *, rule: str) -> None:
        super().__init__(detail)
        self.rule = rule


class NotAnswered(HmsError):
    """Governance was asked whether an action is allowed, and did not answer: the action is not allowed."""


class DeliveryFailed(HmsError):
    """A webhook was not delivered: its address is refused, unreachable, or did not answer 2xx.

    `status` is the HTTP status of the answer, None if there was none. `retry_after_seconds` is
    how long the receiver asked to wait with 429 or 503, None if it did not.
    """

    def __init__(
        self, detail: str, *, status: int | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class HandlerExited(HmsError):
    """A handler or validator called `sys.exit`: an error of the job; the worker continues."""

    error: BaseException | None = None
    """What was raised."""

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """Return the error for a SystemExit or a KeyboardInterrupt, which would end an event loop."""
        called = f"called sys.exit({error.code!r})" if isinstance(error, SystemExit) else ""
        exited = cls(called or "raised KeyboardInterrupt")
        exited.error = error
        return exited


class JobFailed(HmsError):
    """A job ended without a result: `reason` is a word, `by` what decided it, `detail` a sentence.

    The reasons are those that an operator sees: `unique`, `governance`, `timeout`, the name of a validator ….
    """

    def __init__(
        self, message: str, *, job_id: str, type: str, reason: str, by: str, detail: str
    ) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.type = type
        self.reason = reason
        self.by = by
        self.detail = detail


class JobRejected(JobFailed):
    """The job was rejected: it, or what it wants to do, is not allowed."""


class JobDead(JobFailed):
    """The job was given up after an error, a timeout, a crash, or its expiry."""


class JobCancelled(JobFailed):
    """The job was cancelled, by a person or by its own handler."""


class JobNotEnded(HmsError, TimeoutError):
    """The job did not end within the time; `state` is its state then. The job continues."""

    def __init__(self, message: str, *, job_id: str, state: str) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.state = state


class HandlerProcessDied(HmsError):
    """The process that ran an isolated handler ended before the handler did; the message says how."""


class ResourceFailed(HmsError):
    """A resource of an application could not be opened; the message names its function and the error."""


class NoActiveJob(HmsError):
    """A function that needs the current job was called outside of a handler or validator."""


class WrongThread(HmsError):
    """A blocking call on a thread whose event loop runs, or an awaitable one where none runs; the message names the other."""


class NotAccepted(HmsError):
    """No job of this type is accepted now; after `retry_after_seconds` it may be."""

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QueueFull(NotAccepted):
    """The number of waiting jobs of the type has reached its limit."""


class IntakePaused(NotAccepted):
    """An operator has paused the intake of jobs of this type from outside."""


class NotSigned(HmsError):
    """A request without the valid signature that its sender must give."""


class Refused(HmsError):
    """The action is not allowed here: read-only mode, a missing permission, or the state of the job."""


class HoldChanged(Refused):
    """The hold that was to be approved or denied is not the one that the job waits for now."""


class BatchClosed(Refused):
    """An operator has closed the batch before all its members were accepted: it takes no more.

    `batch_id` is its id, `left_out` the number of members that were not accepted. The others run, or have.
    """

    def __init__(self, message: str, *, batch_id: str, left_out: int) -> None:
        super().__init__(message)
        self.batch_id = batch_id
        self.left_out = left_out


class SchemaMismatch(HmsError):
    """The database schema is not the one this program was written for."""


class Outage(HmsError):
    """A required service cannot be reached. Never a verdict on a job."""


class BrokerUnavailable(Outage):
    """The broker cannot be reached or refuses to write."""


class DatabaseUnavailable(Outage):
    """The database cannot be reached or refuses to write."""


class Replaced(Outage):
    """An open file is no longer the one at its path; it has to be reopened."""


class BrokerReplaced(BrokerUnavailable, Replaced):
    """The queue file was replaced or removed while it was open; no job is accepted into it."""


class DatabaseReplaced(DatabaseUnavailable, Replaced):
    """The database file was replaced or removed while it was open; nothing is written into it."""


class PolicyUnavailable(Outage):
    """The remote policy service cannot be reached; nothing is allowed until it can."""
