"""Warnings about job types that nobody serves, for producers that submit jobs of them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import msgspec

from hms_svc.domain.suggestions import did_you_mean
from hms_svc.domain.views import QueueView, WorkerView
from hms_svc.operations.explanation import unserved_text
from hms_svc.operations.queue_explanation import explain_queue
from hms_svc.operations.reads import Reads
from hms_svc.ports.inspection import Inspection

START_TEXT = "; start one with hms-svc serve"


async def unknown_types(
    types: Collection[str], handlers: Collection[str], inspection: Inspection
) -> list[str]:
    """Return a sentence about each type that is not among the known `handlers`, nor served by a registered worker."""
    strange = [type for type in types if type not in handlers]
    if not strange:
        return []
    served = _served_by(*await inspection.register())
    return [_unknown(type, {*handlers, *served}) for type in strange if type not in served]


async def unknown_queue(type: str, handlers: Collection[str], reads: Reads) -> str:
    """Return a sentence about a type that is most likely misspelt: nobody serves it, and it never had a job.

    `handlers` are types that are known here.
    """
    known = {*handlers} | _served_by(*await reads.register())
    if type in known or any(_has_had_jobs(queue) for queue in await reads.queues([type])):
        return ""
    return _unknown(type, known | set(await reads.types()) - {type})


def _has_had_jobs(queue: QueueView) -> bool:
    return any(queue.counters.values()) or any(msgspec.structs.astuple(queue.counts))


def _served_by(live: list[WorkerView], silent: list[WorkerView]) -> set[str]:
    return {type for worker in (*live, *silent) for type in worker.types}


def _unknown(type: str, known: Collection[str]) -> str:
    return f"no worker serves {type!r}{did_you_mean(type, known)}"


async def obstacles(
    types: Collection[str], handlers: Collection[str], inspection: Inspection, now_ms: int
) -> list[str]:
    """Return a sentence about each type whose jobs wait for an operator: its queue is paused, or not served."""
    queues, workers = await asyncio.gather(inspection.queues(types), inspection.workers())
    sentences = (_obstacle(queue, workers, handlers, now_ms) for queue in queues)
    return [sentence for sentence in sentences if sentence]


def _obstacle(
    queue: QueueView, workers: list[WorkerView], handlers: Collection[str], now_ms: int
) -> str:
    if queue.paused:
        return explain_queue(queue, workers, now_ms)
    if queue.served:
        return ""
    text = unserved_text(queue, workers)
    if queue.quiet_workers:
        return text
    near = "" if queue.type in handlers else did_you_mean(queue.type, handlers)
    return text + (near or START_TEXT)
