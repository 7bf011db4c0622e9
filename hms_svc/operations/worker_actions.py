"""Actions on workers: the requested state, and its consequences for the work."""

from __future__ import annotations

from typing import Final

import msgspec

from hms_svc.domain.errors import Refused, UnknownId
from hms_svc.domain.job import Lane
from hms_svc.domain.plain_text import duration_text, plural
from hms_svc.domain.views import WorkerRequest, WorkerState, WorkerView
from hms_svc.operations.action_table import ON_WORKERS
from hms_svc.operations.bulk import BulkActs
from hms_svc.operations.explanation import is_silent

MOST_NAMED: Final = 5


class WorkerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The consequences of requesting a state of a worker.

    `unserved` are types that no other worker claims, with how many jobs of each are ready. `ends_service`:
    it is the last worker of its `serve`. `silent_ms` is how long it has been silent, 0 if it is live.
    """

    worker: WorkerView
    wanted: WorkerState
    unserved: tuple[tuple[str, int], ...]
    ends_service: bool = False
    silent_ms: int = 0

    @property
    def lines(self) -> list[str]:
        """The plan in sentences."""
        running = len(self.worker.jobs)
        if self.wanted is WorkerState.WORKING:
            lines = [
                f"{self.worker.id} {'continues to claim jobs' if self.worker.claims else 'claims jobs again'}"
            ]
        else:
            lines = [f"{self.worker.id} claims no more jobs; {self._of_running(running)}"]
            lines.append(self._of_types())
        if self.wanted is WorkerState.STOPPING:
            lines.append(
                "it is the last worker of its service, which exits too, with its HTTP API"
                if self.ends_service
                else "then it exits, and its service does not replace it"
            )
        if self.silent_ms:
            silence = duration_text(self.silent_ms)
            lines.append(f"it has been silent for {silence}, and will apply this when it is back")
        return lines

    def _of_running(self, running: int) -> str:
        if not running:
            return "it runs no jobs"
        within = "" if self.wanted is WorkerState.QUIET else " within its grace"
        return f"{plural(running, 'running job')} may finish{within}"

    def _of_types(self) -> str:
        if not self.unserved:
            return "other live workers serve all its types"
        named = [
            f"{type} ({ready:,} waiting)" if ready else type
            for type, ready in self.unserved[:MOST_NAMED]
        ]
        more = len(self.unserved) - MOST_NAMED
        rest = f" and {more} more" if more > 0 else ""
        return f"no other live worker serves {', '.join(named)}{rest}"


class WorkerActs(BulkActs):
    """Quiet, resume and stop workers."""

    async def plan_worker(self, worker_id: str, wanted: WorkerState) -> WorkerPlan:
        """Return the consequences of requesting a state of a worker; nothing is done yet.

        UnknownId for an unregistered worker, Refused for one that reports that it is stopping,
        and for a suspect lane, which ends by itself.
        """
        self._journal.check_allowed(ON_WORKERS[wanted].audit)
        live, silent = await self._reads.register()
        worker = next((each for each in (*live, *silent) if each.id == worker_id), None)
        if worker is None:
            raise _unknown(worker_id)
        if worker.lane == Lane.SUSPECT:
            raise Refused(
                f"worker {worker_id} is the suspect lane of a service: it exits by itself"
            )
        if worker.state is WorkerState.STOPPING:
            raise Refused(f"worker {worker_id} is already stopping")
        others = [each for each in live if each is not worker]
        stay = [each for each in others if each.claims and each.pending_request is None]
        claimed = {type for each in stay for type in each.types}
        alone = [] if wanted is WorkerState.WORKING else sorted({*worker.types} - claimed)
        ready = {
            queue.type: queue.counts.queued + queue.counts.intake
            for queue in (await self._reads.queues(alone) if alone else ())
        }
        now = self._journal.now_ms()
        is_silent_worker = is_silent(worker, now, self._reads.lease_ms)
        return WorkerPlan(
            worker=worker,
            wanted=wanted,
            unserved=tuple(sorted(((each, ready.get(each, 0)) for each in alone), key=_most_first)),
            ends_service=_is_last_of_service(worker, others),
            silent_ms=now - worker.last_seen_at if is_silent_worker else 0,
        )

    async def ask_worker(self, worker_id: str, wanted: WorkerState, *, reason: str = "") -> None:
        """Request a state of a worker, which applies it at once, or with its next check. Raises as `plan_worker`."""
        await self.plan_worker(worker_id, wanted)
        action, subject = ON_WORKERS[wanted].audit, f"worker:{worker_id}"
        await self._journal.intend(action, subject, {"note": reason})
        request = WorkerRequest(wanted, self._journal.actor, reason, self._journal.now_ms())
        is_requested = await self._control.ask_worker(worker_id, request)
        await self._journal.conclude(action, [(subject, {"done": is_requested})])
        if not is_requested:
            raise _unknown(worker_id)


def _is_last_of_service(worker: WorkerView, others: list[WorkerView]) -> bool:
    """Return whether a supervisor has no other worker: ids of its workers begin with its host and pid."""
    maker, _, _ = worker.id.rpartition("-")
    if maker.endswith(f"-{worker.pid}"):
        return False  # not a child: a worker embedded in another program
    return not any(
        each.id.rpartition("-")[0] == maker
        and each.lane != Lane.SUSPECT
        and WorkerState.STOPPING not in (each.state, each.request and each.request.state)
        for each in others
    )


def _most_first(found: tuple[str, int]) -> tuple[int, str]:
    return (-found[1], found[0])


def _unknown(worker_id: str) -> UnknownId:
    return UnknownId(f"no worker {worker_id!r} is registered")
