"""An operator in a process of its own: `python -m tests.chaos.operator VERB ID…`, a failpoint armed.

It does what the command line and the console do, and ends with 1 where it was not done to a job.
"""

from __future__ import annotations

import asyncio
import sys

from hms_svc import bootstrap
from hms_svc.operations.service import make_operations
from hms_svc.ports.control import Act
from hms_svc.settings import load_settings
from tests.chaos import interrupted


async def operate(verb: str, job_ids: list[str]) -> int:
    settings = bootstrap.resolve(load_settings().settings)
    database = bootstrap.database(settings)
    await database.open()
    try:
        async with bootstrap.backend(settings) as backend:
            actions = make_operations(
                settings, broker=backend.broker, inspection=backend.inspection,
                control=backend.control, bus=backend.bus, database=database,
            ).actions  # fmt: skip
            if verb == "erase":
                await actions.erase(await actions.plan_erase(job_ids))
                return 0
            report = await actions.carry_out(await actions.plan(Act(verb), job_ids))
            return int(report.done != len(job_ids))
    finally:
        await database.close()


if __name__ == "__main__":
    assert interrupted.app
    sys.exit(asyncio.run(operate(sys.argv[1], sys.argv[2:])))
