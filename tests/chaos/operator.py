"""An operator in a process of its own, with a failpoint armed: `python -m tests.chaos.operator [VERB ID…]`.

It does what the command line does. Without arguments it reads them, one act a line, and answers each
with a line: `done`, or `failed` and why. With arguments it ends with 1 where it was not done to a job.
"""

from __future__ import annotations

import asyncio
import sys

from hms_svc import bootstrap
from hms_svc.domain.errors import HmsError
from hms_svc.operations.actions import Actions
from hms_svc.operations.service import make_operations
from hms_svc.ports.control import Act
from hms_svc.settings import load_settings
from tests.chaos import interrupted


async def operate(words: list[str]) -> None:
    settings = bootstrap.resolve(load_settings().settings)
    database = bootstrap.database(settings)
    await database.open()
    try:
        async with bootstrap.backend(settings) as backend:
            actions = make_operations(
                settings,
                broker=backend.broker,
                inspection=backend.inspection,
                control=backend.control,
                bus=backend.bus,
                database=database,
            ).actions
            if words:
                sys.exit(int(not await act(actions, *words)))
            else:
                await act_as_told(actions)
    finally:
        await database.close()


async def act_as_told(actions: Actions) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            await act(actions, *line.split())
        except HmsError as error:
            print("failed", type(error).__name__, error, flush=True)
        else:
            print("done", flush=True)


async def act(actions: Actions, verb: str, *job_ids: str) -> bool:
    """Act, and tell whether it was done to every job."""
    if verb == "erase":
        await actions.erase(await actions.plan_erase(job_ids))
        return True
    report = await actions.carry_out(await actions.plan(Act(verb), job_ids))
    return report.done == len(job_ids)


if __name__ == "__main__":
    assert interrupted.app
    asyncio.run(operate(sys.argv[1:]))
