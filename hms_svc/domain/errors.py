"""Every error that hms-svc raises on purpose.

HmsError
├── BadInput                 the caller can mend it (exit 2)
│   ├── MalformedJson        bytes or values that are not strict JSON
│   ├── MalformedJob         JSON that is not a job
│   ├── MalformedJobs        some of the jobs submitted together are no jobs
│   ├── IdConflict           the id is taken by another type or other data
│   ├── KeyReused            the key of a request came before, with another request
│   ├── UnknownId            no such job, case, queue or worker
│   ├── BadFilter            a filter expression that does not parse
│   ├── FilterTooCostly      a filter that takes more work than one answer may
│   ├── BadSetting           a setting with a wrong value, or an unknown key
│   └── BadPolicy            a governance policy that does not parse
├── ValidationFailed         somebody rejects it: the job is rejected, never retried
│   ├── DuplicateCase        an open case of this kind stands within the radius
│   └── ActionDenied         governance denies the action
├── ActionHeld               governance wants a human to decide
├── LeaseLost                this worker no longer owns the job
├── EffectConflict           the effect key was used before, with other data
├── RuleFailed               a rule of the policy breaks: an error, not an answer
├── NotAnswered              governance was asked, and its answer was not waited for
├── DeliveryFailed           a webhook could not be delivered
├── HandlerExited            a handler or validator called sys.exit
├── NoActiveJob              something that needs the current job ran outside of one
├── WrongThread              a blocking call on a thread whose event loop runs
├── NotAccepted              no job of this type is taken now: come again
│   ├── QueueFull            as many jobs wait as may wait
│   └── IntakePaused         an operator has paused what comes in
├── NotSigned                a request without a valid signature of its sender (HTTP 401)
├── Refused                  not allowed here: read-only, no permission (exit 6)
│   └── HoldChanged          the hold that was to be answered is not the present one (HTTP 412)
├── SchemaMismatch           the database schema is older or newer than this program (exit 1)
└── Outage                   something we need cannot be reached; nobody's attempts burn (exit 5)
    ├── BrokerUnavailable
    │   └── BrokerReplaced   the open queue file is not at its path any more: only a new start helps
    ├── DatabaseUnavailable
    │   └── DatabaseReplaced the open database file is not at its path any more
    └── PolicyUnavailable
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class HmsError(Exception):
    """The root of every deliberate error."""


class BadInput(HmsError):
    """The caller submitted something that the caller can mend."""


class MalformedJson(BadInput):
    """Bytes or values that strict JSON does not allow; the message says where and why."""


class FieldFault(NamedTuple):
    """What is wrong with one field: its path, empty for the whole, and words."""

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


class Fault(NamedTuple):
    """What is wrong with a field of one of several jobs: its place, from 0, the field, and words."""

    place: int
    field: str
    detail: str


class MalformedJobs(BadInput):
    """Jobs submitted together of which some are at fault, each with its place; none was taken."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        first = faults[0]
        others = len({fault.place for fault in faults}) - 1
        more = f", and {others} more" if others else ""
        super().__init__(f"job {first.place}: {first.detail}{more}; nothing was enqueued")
        self.faults = tuple(faults)


class KeyReused(BadInput):
    """The key of a request was used before, with a request that said something else."""


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
    """A filter that looks at more than one answer may take; the message names the bound."""


class BadSetting(BadInput):
    """A setting whose value cannot be used, or a key that nobody reads."""


class BadPolicy(BadInput):
    """A governance policy that does not parse; the message carries file and line."""


class ValidationFailed(HmsError):
    """Raised by a validator, a handler or the DAO to reject the job at once, without retry.

    `validator` becomes the job's reason where it is given; otherwise the
    runtime uses the name of the validator that raised, or `handler`.
    """

    def __init__(self, detail: str | None = "", *, validator: str = "") -> None:
        super().__init__(detail)
        self.detail = "" if detail is None else detail
        self.validator = validator


class DuplicateCase(ValidationFailed):
    """An open case of the same kind stands within the radius; `case_id` is the older one."""

    def __init__(self, detail: str, *, case_id: str) -> None:
        super().__init__(detail, validator="duplicate")
        self.case_id = case_id


class ActionDenied(ValidationFailed):
    """Governance denies the action; `rule` is the id of the rule that said so."""

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


class RuleFailed(HmsError):
    """A rule of the policy breaks on what it was asked; `rule` is its id. Never a verdict."""

    def __init__(self, detail: str, *, rule: str) -> None:
        super().__init__(detail)
        self.rule = rule


class NotAnswered(HmsError):
    """Governance was asked whether an action is allowed, and no answer came: not a yes."""


class DeliveryFailed(HmsError):
    """A webhook was not delivered: its address is refused, unreachable, or did not answer 2xx.

    `status` is what was answered, None where there was no answer. `retry_after_seconds` is
    how long the receiver asked to be left alone with 429 or 503, None where it did not.
    """

    def __init__(
        self, detail: str, *, status: int | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class HandlerExited(HmsError):
    """A handler or validator called `sys.exit`: an error of the job, not the end of the worker."""


class NoActiveJob(HmsError):
    """Something that needs the current job was called outside of a handler or validator."""


class WrongThread(HmsError):
    """A blocking call on a thread whose event loop runs; the message names the awaitable one."""


class NotAccepted(HmsError):
    """No job of this type is taken now; after `retry_after_seconds` it may be."""

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QueueFull(NotAccepted):
    """As many jobs of the type wait as may wait."""


class IntakePaused(NotAccepted):
    """An operator has paused the type for what comes from outside."""


class NotSigned(HmsError):
    """A request that its sender should have signed bears no valid signature."""


class Refused(HmsError):
    """The act is not allowed here: read-only mode, a missing permission, or the state of the job."""


class HoldChanged(Refused):
    """The hold that was to be approved or denied is not what the job waits for now."""


class SchemaMismatch(HmsError):
    """The database schema is not the one this program was written for."""


class Outage(HmsError):
    """Something we need cannot be reached. Never a verdict on a job."""


class BrokerUnavailable(Outage):
    """The broker cannot be reached or refuses to write."""


class DatabaseUnavailable(Outage):
    """The database cannot be reached or refuses to write."""


class Replaced(Outage):
    """A file that is open is not the one at its path any more; it has to be opened anew."""


class BrokerReplaced(BrokerUnavailable, Replaced):
    """The queue file was replaced or removed while it was open; nothing is accepted into it."""


class DatabaseReplaced(DatabaseUnavailable, Replaced):
    """The database file was replaced or removed while it was open; nothing is written into it."""


class PolicyUnavailable(Outage):
    """The remote policy service cannot be reached; nothing is allowed meanwhile."""
