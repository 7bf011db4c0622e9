"""What limits an installation on its machine, in words, from the figures of a benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hms_svc.operations.answers.bench import BenchAnswer, BenchDrain

BUSY: Final = 0.85
"""From this part of a core on, a process is what limits."""
FAR_MS: Final = 5.0
"""From this round trip on, waiting for a server is worth a sentence: on the same network it takes less than 2 ms."""
SLOW_SYNC_MS: Final = 5.0
_TYPICAL_SYNCS: Final = "an SSD takes 0.1 to 2 ms"


def limits_of(found: BenchAnswer) -> tuple[str, ...]:
    """Return sentences: what limits each drain, then what is unusual about this machine."""
    return (
        _of_drain("No-op jobs", found.noop, found),
        _of_drain("Reports", found.reports, found),
        *_unusual(found),
    )


def _of_drain(name: str, drain: BenchDrain, found: BenchAnswer) -> str:
    if drain.worker_share is None:
        return f"{name}: {drain.jobs_per_second:,.0f} a second; this system does not report CPU times, so the limit is not known."
    worker, broker = drain.worker_share, drain.broker_share
    if found.load > found.cores and worker < BUSY:
        return (
            f"{name}: other programs keep this machine busy (load {found.load:.1f} on {found.cores} cores), so "
            f"the worker had {worker:.0%} of a core. Measure again while it is idle."
        )
    if broker is not None and broker >= BUSY:
        return (
            f"{name}: {found.broker} is the limit, it uses {broker:.0%} of a core. More workers do not "
            "help: give it a faster core, or split the types over several servers."
        )
    if worker >= BUSY:
        room = "" if broker is None else f", while {found.broker} uses {broker:.0%} of its own"
        return (
            f"{name}: the worker process is the limit, it uses {worker:.0%} of a core{room}. "
            f"{_more_processes(drain, found)}"
        )
    shares = f"the worker uses {worker:.0%} of a core" + (
        "" if broker is None else f", {found.broker} {broker:.0%}"
    )
    return f"{name}: waiting is the limit, not CPU: {shares}. {_waits_for(found)}"


def _more_processes(drain: BenchDrain, found: BenchAnswer) -> str:
    if found.cores == 1:
        return "This machine has one core: a second process would not help."
    if found.broker == "sqlite":
        return "A second process (--processes 2) helps types whose handlers compute; all share one file."
    if drain.broker_share is None or drain.broker_share * found.cores < BUSY:
        most = found.cores - 1
    else:
        most = max(2, int(BUSY / drain.broker_share))
    return f"Up to {most} processes (--processes) with a core each would add up before {found.broker} is full."


def _waits_for(found: BenchAnswer) -> str:
    if found.sync_ms is not None and found.sync_ms >= SLOW_SYNC_MS:
        return f"The disk takes {found.sync_ms:.1f} ms for a sync ({_TYPICAL_SYNCS})."
    if max(found.broker_ms, found.database_ms) >= FAR_MS:
        return (
            f"A round trip takes {found.broker_ms:.1f} ms to {found.broker} and {found.database_ms:.1f} ms "
            f"to {found.database}: more slots (--concurrency, now {found.slots}) hide it."
        )
    return f"More slots (--concurrency, now {found.slots}) or another process may help."


def _unusual(found: BenchAnswer) -> Iterator[str]:
    if found.sync_ms is not None and found.sync_ms >= SLOW_SYNC_MS:
        yield f"The disk is slow: a sync takes {found.sync_ms:.1f} ms; {_TYPICAL_SYNCS}."
    for name, milliseconds in (
        (found.broker, found.broker_ms),
        (found.database, found.database_ms),
    ):
        if milliseconds >= FAR_MS:
            yield f"{name} is {milliseconds:.1f} ms away: on the same network it would be less than 2 ms."
