"""A job that a transaction has committed, before a worker has delivered it to the broker."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from hms_svc.domain.job import make_job
from hms_svc.ports.transactions import Statements, TransactionRequest, Written
from tests.support.command_line import make_cli
from tests.support.operator_service import open_operator

FENCE = 1
FAR = 2**52
AGO = "was committed [0-9a-z ]+ ago, and waits in the database for a worker to deliver it"


async def commit_job(folder: Path) -> None:
    """Commit job `review` as a follow-up of a transaction; no worker runs that could deliver it."""

    async def write(statements: Statements) -> Written:
        job = make_job("permit.review", {}, now_ms=1_700_000_000_000, id="review")
        return Written(value=b"null", follow_ups=(job,))

    async with open_operator(folder) as operator:
        request = TransactionRequest(job_id="a", fence=FENCE, key="", valid_until=FAR, seconds=30.0)
        await operator.database.effects.transact(request, write)


def test_it_is_said_to_wait_in_the_database(tmp_path: Path) -> None:
    asyncio.run(commit_job(tmp_path))
    cli = make_cli(tmp_path)
    assert re.fullmatch(
        rf"Job review \(permit\.review\) {AGO}\.\n", cli("jobs", "why", "review").out
    )
    for act in ("show", "cancel", "retry"):
        told = cli("jobs", act, "review", code=2).err
        assert re.search(rf"no job with id 'review' is in the broker yet: it {AGO}\n", told)
    assert cli("jobs", "why", "other", code=2).err == "hms-svc: no job with id 'other'\n"
