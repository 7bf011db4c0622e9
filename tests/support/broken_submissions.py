"""Submissions of a batch that break off between two of their steps."""

from __future__ import annotations

from typing import Any

import pytest

from hms_svc.brokers.redis.link import Link
from hms_svc.brokers.sqlite.queue_file import QueueFile
from hms_svc.domain.errors import BrokerUnavailable


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
