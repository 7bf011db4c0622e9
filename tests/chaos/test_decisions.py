"""Held jobs are approved and denied at once, twice, late, after a retry and across kills: no denied one runs."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

import httpx
import pytest

from hms_svc.domain.lifecycle import State
from tests.chaos.app import APP
from tests.chaos.pairs import on_all_four, on_fleet_first
from tests.chaos.site import Site
from tests.support.proxy import free_port
from tests.support.serve_process import Served
from tests.support.waiting import wait_until

POLICY: Final = 'default = "hold"\n'
A_ROUND: Final = 25
Answers: TypeAlias = list[tuple[str, int]]
"""What decisions on one job were answered: the act, and the HTTP status; 0 where no answer came."""


class OperatorHarness:
    """An operator who decides over HTTP, on the command line, and through the operator service."""

    def __init__(self, site: Site, port: int) -> None:
        self.site = site
        self.base = f"http://127.0.0.1:{port}"
        self.client = httpx.AsyncClient(base_url=self.base, timeout=30)

    async def over_http(self, act: str, job_id: str, hold: str) -> tuple[str, int]:
        with suppress(httpx.TransportError):
            headers = {"if-match": f'"{hold}"'}
            answer = await self.client.post(f"/jobs/{job_id}/{act}", headers=headers)
            return act, answer.status_code
        return act, 0

    async def on_the_command_line(self, act: str, job_id: str, hold: str) -> tuple[str, int]:
        return act, 200 if await self._run("hms_svc", "jobs", act, job_id, "--hold", hold) else 409

    async def as_the_console_does(self, act: str, job_id: str, hold: str) -> tuple[str, int]:
        return act, 200 if await self._run("tests.chaos.operator", act, job_id) else 409

    async def _run(self, module: str, *words: str) -> bool:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *words,
            env=self.site.environment(),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        return await process.wait() == 0

    async def holds(self, job_ids: Sequence[str]) -> dict[str, str]:
        """Wait until all are held; return what each waits for."""
        found: dict[str, str] = {}
        while len(found) < len(job_ids):
            for job_id in job_ids:
                if job_id not in found and (hold := await self._hold(job_id)):
                    found[job_id] = hold
        return found

    async def _hold(self, job_id: str) -> str:
        with suppress(httpx.TransportError):
            told = (await self.client.get(f"/jobs/{job_id}")).json()
            return str(told["hold"]["id"]) if told.get("hold") else ""
        await asyncio.sleep(0.05)
        return ""

    async def retry(self, job_ids: Sequence[str]) -> None:
        if job_ids:
            body = {"act": "retry", "ids": list(job_ids)}
            answer = await self.client.post("/jobs/acts", json=body)
            assert answer.json()["done"] == len(job_ids), answer.text


Way: TypeAlias = Callable[[str, str, str], Awaitable[tuple[str, int]]]


async def decide(
    operator: OperatorHarness, chance: random.Random, job_id: str, hold: str
) -> Answers:
    """Answer one hold in one of many ways."""
    api = operator.over_http
    other: Way = chance.choices(
        (api, operator.on_the_command_line, operator.as_the_console_does), (18, 1, 1)
    )[0]
    match chance.randrange(4):
        case 0:  # at once
            return list(
                await asyncio.gather(api("approve", job_id, hold), other("deny", job_id, hold))
            )
        case 1:  # at once, the other way round
            return list(
                await asyncio.gather(api("deny", job_id, hold), other("approve", job_id, hold))
            )
        case 2:  # twice, and then late
            calls = [api("deny", job_id, hold), other("deny", job_id, hold)]
            return [*await asyncio.gather(*calls), await api("approve", job_id, hold)]
        case _:  # twice: a client's retry
            return [await api("approve", job_id, hold), await other("approve", job_id, hold)]


async def round_of_decisions(
    operator: OperatorHarness, chance: random.Random, first: int, kill: Callable[[], Served] | None
) -> tuple[dict[str, Answers], list[str]]:
    """Have some jobs held and decided on; those denied are retried, and held again."""
    ids = [f"decided-{first + number}" for number in range(A_ROUND)]
    jobs = [{"id": job_id, "type": "chaos.decided", "data": {"n": job_id}} for job_id in ids]
    await listening(operator)
    assert (await operator.client.post("/jobs", json=jobs)).status_code == 202
    holds = await operator.holds(ids)
    deciding = asyncio.gather(*(decide(operator, chance, *each) for each in holds.items()))
    if kill is not None:
        await asyncio.sleep(chance.uniform(0.0, 0.05))
        kill()
    answers = dict(zip(holds, await deciding, strict=True))
    denied = [job_id for job_id, given in answers.items() if ("deny", 200) in given]
    await wait_for(lambda: ended(operator.site) >= set(denied))
    again = denied[: len(denied) // 2]
    await operator.retry(again)
    await operator.holds(again)
    return answers, again


async def wait_for(holds: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, "what was decided", holds)


def ended(site: Site) -> set[str]:
    return {job.id for job in site.jobs("chaos.decided") if job.state is State.REJECTED}


def judge(site: Site, answers: dict[str, Answers], again: list[str]) -> Counter[str]:
    """Hold what stands against what was answered; return how often each end was met."""
    cases = Counter(row[0] for row in site.database.rows("SELECT job_id FROM cases"))
    states = {job.id: job.state for job in site.jobs("chaos.decided")}
    met: Counter[str] = Counter()
    for job_id, given in answers.items():
        done = [act for act, status in given if status == 200]
        unknown = any(status == 0 for _, status in given)
        assert len(done) <= 1, (job_id, given)
        if "deny" in done:
            assert cases[job_id] == 0, f"{job_id} was denied and has a case: {given}"
            assert states[job_id] is (State.HELD if job_id in again else State.REJECTED)
        elif "approve" in done:
            assert (states[job_id], cases[job_id]) == (State.COMPLETED, 1), (job_id, given)
        else:
            assert unknown, f"{job_id}: nobody was told that it was done: {given}"
        met[done[0] if done else "unknown"] += 1
    return met


async def decisions(site: Site, chance: random.Random, *, jobs: int, kills: int) -> Counter[str]:
    policy = site.folder / "policy.toml"
    policy.write_text(POLICY, encoding="ascii")
    port = free_port()
    started: list[Served] = []

    def start() -> Served:
        started.append(
            site.serve(app=APP, policy_file=policy, http=f"127.0.0.1:{port}", lease_seconds=1)
        )
        return started[-1]

    def kill() -> Served:
        started.pop().kill()
        return start()

    start()
    operator = OperatorHarness(site, port)
    killing = set(chance.sample(range(jobs // A_ROUND), kills))
    answers: dict[str, Answers] = {}
    again: list[str] = []
    for number in range(jobs // A_ROUND):
        one, more = await round_of_decisions(
            operator, chance, number * A_ROUND, kill if number in killing else None
        )
        answers |= one
        again += more
    running = (State.QUEUED, State.PROCESSING, State.RETRYING, State.SCHEDULED)
    await wait_for(lambda: not sum(site.count(state, "chaos.decided") for state in running))
    await listening(operator)  # Started again in the last round, it would end without having begun.
    await operator.client.aclose()
    started[-1].send(signal.SIGTERM)
    assert started[-1].wait() == 0
    return await asyncio.to_thread(judge, site, answers, again)


async def listening(operator: OperatorHarness) -> None:
    async with asyncio.timeout(60):
        while True:
            with suppress(httpx.TransportError):
                if (await operator.client.get("/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.05)


@on_fleet_first
async def test_no_denied_job_runs(site: Site, chance: random.Random) -> None:
    met = await decisions(site, chance, jobs=50, kills=1)
    assert min(met["deny"], met["approve"]) > 0, met


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@on_all_four
async def test_no_denied_job_of_a_thousand_runs(site: Site, chance: random.Random) -> None:
    met = await decisions(site, chance, jobs=1000, kills=10)
    print(dict(met))
    assert min(met["deny"], met["approve"]) > 100, met
