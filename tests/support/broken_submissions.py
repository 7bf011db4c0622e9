"""Submissions of a batch that break off between two of their steps."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from hms_svc.brokers.chunks import chunks
from hms_svc.brokers.redis import acceptance
from hms_svc.brokers.redis.link import Link
from hms_svc.brokers.sqlite import broker as sqlite_broker
from hms_svc.brokers.sqlite.queue_file import QueueFile
from hms_svc.domain.batches import NewBatch
from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.ports.broker import Broker


def fail_at(patched: pytest.MonkeyPatch, number: int) -> None:
    """Let the engine fail from the given step of a submission on."""
    steps = 0

    def failing(call: Any) -> Any:
        async def run(*args: Any, **kwargs: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps >= number:
                raise BrokerUnavailable("away")
            return await call(*args, **kwargs)

        return run

    patched.setattr(QueueFile, "write", failing(QueueFile.write))
    patched.setattr(Link, "run_reported", failing(Link.run_reported))


async def leave_open(broker: Broker, batch: NewBatch, steps: int = 1) -> None:
    """Submit the first members of a batch, one in each step, as a producer that breaks off then."""
    with pytest.MonkeyPatch.context() as patched:
        one_in_each_step(patched)
        fail_at(patched, steps + 1)
        with pytest.raises(BrokerUnavailable):
            await broker.enqueue_batch(batch.with_its_id())


def one_in_each_step(patched: pytest.MonkeyPatch) -> None:
    """Let each step of a submission have one member."""
    for module in (sqlite_broker, acceptance):
        patched.setattr(module, "chunks", partial(chunks, most=1))
