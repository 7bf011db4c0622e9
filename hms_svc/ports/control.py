"""What operators may change in a broker. Who may, and the audit of it, is operations' part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import ActOutcome, JobDetail, WorkerRequest
from hms_svc.ports.inspection import Capacity


class Act(StrEnum):
    """The acts on jobs that an operator has."""

    RETRY = "retry"
    DISCARD = "discard"
    CANCEL = "cancel"
    APPROVE = "approve"
    DENY = "deny"


UNDOABLE: Final = frozenset({Act.RETRY, Act.DISCARD, Act.CANCEL, Act.DENY})
"""Acts that `Control.undo` takes back. An approval is on record in the database, and stands."""


NOT_KNOWN: Final = "is not known"
"""Why nothing was done to an id that no job of the broker has."""


def must_end_first(state: State) -> str:
    """Return why a job that has not ended is not erased."""
    return f"a job that is {state} cannot be erased: cancel it first"


MOVED_ON: Final = "has moved on since it was looked at"
"""Why nothing was done to a job whose last claim is not the one that was seen."""
NOT_SEEN: Final = "was claimed before: what it has done must be looked up first"
"""Why a job that was claimed is not cancelled, denied or approved by somebody who has not looked."""


class Seen(msgspec.Struct, frozen=True):
    """What was known of a job when an act on it was decided.

    `fence` is that of its last claim, 0 before the first: it names a hold, too,
    since a claim ends in one hold at most. `case_id` is the case that the
    database has of it; `hold` the `Permission.key` of what a held job waits for.
    """

    fence: int
    case_id: str | None = None
    hold: str = ""


class ActRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One act on many jobs. `batch` names it for undo; `by` and `note` go into the record.

    A job of `seen` is changed only where it still is what was seen.
    """

    act: Act
    job_ids: tuple[str, ...]
    by: str
    note: str = ""
    batch: str = ""
    seen: Mapping[str, Seen] = msgspec.field(default_factory=dict)


class Batch(msgspec.Struct, frozen=True):
    """Acts that can be undone together: their name, and when (Unix ms) the newest of them was done.

    `job_id` is one of its `jobs`.
    """

    name: str
    at: int
    job_id: str
    jobs: int


class Eviction(Protocol):
    """Room in an engine that has a limit of its own, made by what has ended. Bounded reads and steps."""

    async def capacity(self) -> Capacity | None:
        """Return what is used of the limit; None where none is set."""
        ...

    async def ended_first(self, *, limit: int) -> list[JobDetail]:
        """Return completed jobs, those that ended first first; where none is left, cancelled ones.

        At most `limit`, and fewer where they are large.
        """
        ...

    async def trim_handled(self, *, limit: int) -> int:
        """Remove the oldest events, at most `limit`; gives how many.

        Those of the last minute stay, and all from the first that a consumer group has not handled.
        """
        ...


class Control(Protocol):
    """Changes that operators make, each job in one atomic step.

    `relief` is None where the engine has no limit of its own.
    """

    eviction: Eviction | None

    async def act(self, request: ActRequest) -> list[ActOutcome]:
        """Do one act to each job, or say why not; answers stand in the order of the ids.

        RETRY starts a new run of a terminal job that is not completed or erased, and lets
        a scheduled or retrying one run now. CANCEL ends a waiting job and asks
        the worker of a running one to stop; where that run does not end the job
        (it fails, is given back or put off, or its worker dies), it is cancelled
        then, unless it has a case. DISCARD hides a job that is not
        running, to be undone by its batch for ten minutes. APPROVE queues a held
        job and records its hold as approved, DENY rejects it (`governance`) and
        forgets every approval of it; both need the hold that was seen. CANCEL of
        a waiting job that was ever claimed needs what was seen, too: one that has
        a case ends `dead` instead of cancelled or rejected, with the same reason.
        """
        ...

    async def undo(
        self, batch: str, *, after: str = "", limit: int = 250, dry: bool = False
    ) -> list[ActOutcome]:
        """Make up to `limit` jobs of a batch what they were before it, or say of each why not.

        They come in the order of their ids, those behind the id `after`: call again
        with the last one until fewer than `limit` are answered. A batch of RETRY, CANCEL, DISCARD or DENY, or of a purge, can be undone
        for ten minutes after it was done; an approval stands. A job that has
        not moved since gets back state, place in its order, times, attempts and
        outcome, in one step; its events stay announced. One that has been
        claimed or acted on since, that was running when its cancellation was
        asked for, or whose unique key another job holds now, stays as it is, and
        stays in its batch. With `dry` nothing is changed: it answers what it would.
        """
        ...

    async def undoable(self, batch: str, *, after: str = "") -> int:
        """Count the jobs of a batch, those behind the id `after`, that `undo` would answer for."""
        ...

    async def last_batch(self) -> str | None:
        """Return the newest batch that `undo` has not gone through yet, of those it still could."""
        ...

    async def batches(self, *, limit: int, name: str = "") -> list[Batch]:
        """Return batches that `undo` has not gone through yet, newest first.

        With a `name` only that one, also where it was gone through and something stayed.
        """
        ...

    async def waiting(self, type: str, *, limit: int) -> list[tuple[str, int]]:
        """Return up to `limit` jobs of a type that wait (queued, scheduled, retrying), next first.

        Each is its id and the fence of its last claim, 0 before the first.
        """
        ...

    async def erase(self, job_ids: Sequence[str]) -> list[ActOutcome]:
        """Blank what jobs say of a person, or say why not; answers stand in the order of the ids.

        Data becomes `domain.erasure.ERASED`. Result, foreign bytes, meta, unknown
        fields, unique key, words, output and progress go, and so does what undo
        kept of the job. Id, type, state, reason, who decided it, times, attempts,
        fence and case stay. An ended job is erased, and a discarded one, which
        cannot come back then; any other is to be cancelled first. It stands among
        the failures by its reason alone. What the bus kept of its words and
        of services' events about it is blanked, also of an id that is not known,
        or removed where the engine cannot change what it announced. Erasing
        again changes nothing.
        """
        ...

    async def pause(self, type: str, *, by: str, reason: str, intake: bool = False) -> None:
        """Stop claiming of a type, known or not. Running jobs go on.

        With `intake` the HTTP servers (HTTP, envelopes) take no new jobs of it either;
        that is theirs to heed, `Broker.enqueue` accepts as ever. Pausing a
        paused type says it anew, with or without `intake`.
        """
        ...

    async def resume(self, type: str) -> None:
        """Claim a paused type again, take new jobs at the HTTP servers again, and wake the workers."""
        ...

    async def ask_worker(self, worker: str, request: WorkerRequest) -> bool:
        """Record what is wanted of a worker, in the place of an earlier request, and call it.

        False where it is not in the register. The request is kept as long as the worker is there;
        the worker hears it by `Broker.signals`, and shows in the register what it made of it.
        """
        ...

    async def to_archive(self, *, older_than: int, limit: int) -> list[JobDetail]:
        """Return rejected and dead jobs that ended before `older_than` (Unix ms), oldest first.

        A record that cannot be read is left out and named in the log; it takes nobody's place.
        """
        ...

    async def forget(self, job_ids: Sequence[str]) -> None:
        """Remove records of terminal jobs that the archive holds."""
        ...

    async def trim(self, *, limit: int) -> int:
        """Remove what outlived its retention: completed and cancelled jobs, discards, old events.

        Beyond the number of completed jobs kept, those that ended first go first,
        over all types. Gives the number of records removed; call again while it
        equals `limit`.
        """
        ...

    async def bury_unserved(self, *, older_than: int, limit: int) -> int:
        """Dead-letter jobs (`no_handler`) ready since before `older_than` that no worker serves."""
        ...

    async def backup(self, path: str) -> None:
        """Write a consistent copy of the engine's data to a new file, where the engine can."""
        ...
