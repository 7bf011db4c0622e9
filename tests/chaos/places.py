"""What brings the program to each named place, again and again, and what must stand afterwards."""

from __future__ import annotations

import asyncio
import json
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Final, Self

import httpx

from hms_svc import bootstrap
from hms_svc.domain.lifecycle import State
from hms_svc.ports.clock import SystemClock
from hms_svc.ports.schedules import DueRuns
from hms_svc.settings import load_settings
from tests.chaos.app import APP as CHAOS
from tests.chaos.daily_app import APP as DAILY_APP
from tests.chaos.daily_app import DAILY
from tests.chaos.means import MANY, Interruptions, is_listening
from tests.chaos.site import ROOT, Site
from tests.support.proxy import free_port
from tests.support.waiting import PATIENCE_SECONDS, wait_until

JOBS_AT_A_TIME: Final = 25
SERVERS: Final = 4
OTHERWISE: Final = {"approve": "deny", "deny": "approve"}

Scenario = Callable[[Interruptions], list[str]]
"""Takes all interruptions and ends with everything done; return what is wrong, but for the checker's."""


def at_work(given: Interruptions) -> list[str]:
    """Feed reports while workers come to the place."""
    site = given.site
    served = given.serve(at_most=12 if given.kills else 2)
    producer, jobs = site.producer("distinct"), 0
    while not (jobs and given.all_taken):
        before = given.taken
        producer.ask(JOBS_AT_A_TIME)
        jobs += JOBS_AT_A_TIME
        given.begin()
        given.until(
            served,
            "an interruption, or all done",
            lambda: given.taken > before or _is_done(site, jobs),  # noqa: B023 - called at once
        )
    producer.close()
    given.until(served, "all is done", lambda: _is_done(site, jobs))
    site.stop()
    stands = {state: site.count(state) for state in State if site.count(state)}
    wanted = {State.COMPLETED: 2 * jobs}
    return [f"{stands} instead of {wanted}"] if stands != wanted else []


def _is_done(site: Site, reports: int) -> bool:
    """Return whether so many reports are completed, and the notice of each."""
    return site.count(State.COMPLETED) == 2 * reports


def at_a_tick(given: Interruptions) -> list[str]:
    """Have workers find a missed run: a new one for each interruption, as it has that decided once."""
    site = given.site
    asyncio.run(_declare_days_ago(site))
    while not given.all_taken:
        given.begin()
        before = given.taken
        served = given.serve(app=DAILY_APP, at_most=1, processes=0 if given.kills else 1)
        enough = given.times if given.kills else before + 1
        given.until(
            served,
            "the interruptions",
            lambda: given.taken >= enough and given.is_set,  # noqa: B023 - called at once
        )
        given.until(served, "the run ends", lambda: site.count(State.COMPLETED, "chaos.tick") > 0)
        given.until(served, "a worker is there", lambda: len(site.broker.workers()) > 0)
        site.stop()
    runs = site.jobs("chaos.tick")
    return [f"{len(runs)} jobs of one run"] if len(runs) != 1 else []


class _DaysAgo(SystemClock):
    """The clock of two days ago."""

    def now_ms(self) -> int:
        return super().now_ms() - 2 * 86_400_000


async def _declare_days_ago(site: Site) -> None:
    settings = load_settings(environ=site.environment()).settings
    async with bootstrap.backend(settings, _DaysAgo()) as backend:
        await backend.broker.decide_runs([DueRuns(type="chaos.tick", cron=DAILY)])


def at_the_reaper(given: Interruptions) -> list[str]:
    """Leave jobs behind whose cancellation was asked for; once they are cancelled, others."""
    site, left = given.site, 0
    served = given.serve("--types", "chaos.case", at_most=1)
    given.begin()
    producer = site.producer("chaos.endless")
    while not given.all_taken:
        victim = site.serve("--types", "chaos.endless", app=CHAOS, lease_seconds=4)
        producer.ask(5)
        left += 5
        given.until(victim, "all are in hand", lambda: site.count(State.PROCESSING) == 5)
        ids = [job.id for job in site.jobs("chaos.endless") if job.state is State.PROCESSING]
        site.freeze(victim)
        with Operator(given, armed=False) as operator:
            operator.insist("cancel", ids)
        victim.kill()
        given.until(
            served,
            "all are cancelled",
            lambda: site.count(State.CANCELLED) == left and given.is_set,  # noqa: B023 - called at once
        )
    producer.close()
    site.stop()
    return []


class Operator:
    """An operator, who is there again when the process that does the acts has ended."""

    def __init__(self, given: Interruptions, *, armed: bool = True) -> None:
        self._given = given
        self._environment = given.site.environment(**(given.environment(1) if armed else {}))
        self._process: subprocess.Popen[str] | None = None
        self._said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            with self._process as process:
                process.kill()

    def ask(self, verb: str, job_ids: list[str]) -> bool:
        """Have an act done; return whether the operator was told that it was."""
        if self._process is None or self._process.poll() is not None:
            self.__exit__()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.operator"],
                env=self._environment,
                cwd=ROOT,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        assert self._process.stdin is not None
        self._process.stdin.write(f"{verb} {' '.join(job_ids)}\n")
        self._process.stdin.flush()
        self._given.until(None, "an answer", self._has_answered)
        if not self._said:
            code = self._process.wait(PATIENCE_SECONDS)
            assert code == -signal.SIGKILL, f"the operator's process ended with {code}"
        return self._said == "done\n"

    def insist(self, verb: str, job_ids: list[str]) -> None:
        """Have an act done, whatever comes between."""
        wait_until(f"{verb} is done", lambda: self.ask(verb, job_ids))

    def _has_answered(self) -> bool:
        assert self._process is not None
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], 0)[0]:
            return False
        self._said = self._process.stdout.readline()
        return True


def at_an_act(given: Interruptions) -> list[str]:
    """Approve and deny held jobs, one or some; what was cut off before it was done is decided otherwise."""
    site = given.site
    policy = site.folder / "policy.toml"
    policy.write_text('default = "hold"\n', encoding="ascii")
    site.enqueue("chaos.decided", 3 * _acts(given))
    site.drain(app=CHAOS, policy_file=policy)
    ids = [job.id for job in site.jobs("chaos.decided")]
    wanted: dict[str, State] = {}
    given.begin()
    with Operator(given) as operator, Operator(given, armed=False) as successor:
        for number in range(_acts(given)):
            if given.all_taken:
                break
            batch = ids[3 * number : 3 * number + 1 + number % 3]
            verb = list(OTHERWISE)[number % 2]
            operator.ask(verb, batch)
            given.until(None, "it is over", lambda: given.is_set)
            if {job.state for job in site.jobs() if job.id in batch} == {State.HELD}:
                verb = OTHERWISE[verb]
                successor.insist(verb, batch)
            ended = State.COMPLETED if verb == "approve" else State.REJECTED
            wanted |= dict.fromkeys(batch, ended)
        if rest := [job_id for job_id in ids if job_id not in wanted]:
            successor.insist("deny", rest)
            wanted |= dict.fromkeys(rest, State.REJECTED)
    site.drain(app=CHAOS, policy_file=policy)
    stands = {job.id: job.state for job in site.jobs("chaos.decided")}
    faults = [
        f"{job_id} is {stands[job_id]} instead of {state}"
        for job_id, state in wanted.items()
        if stands[job_id] is not state
    ]
    cases = {row[0] for row in site.database.rows("SELECT job_id FROM cases")}
    approved = {job_id for job_id, state in wanted.items() if state is State.COMPLETED}
    faults += [f"{job_id} was denied and has a case" for job_id in cases - approved]
    faults += [f"{job_id} was approved and has no case" for job_id in approved - cases]
    faults += [f"{job_id}: no intent is on record" for job_id in wanted.keys() - _intended(site)]
    return faults + _not_all_came(given)


def _acts(given: Interruptions) -> int:
    """Return how many acts it takes: the one after an interruption may fail before it comes to the place."""
    return 2 * given.times


def _intended(site: Site) -> set[str]:
    """Return the jobs that somebody was about to approve or deny, by the audit record."""
    statement = "SELECT detail FROM audit WHERE action IN ('job.approve', 'job.deny')"
    told = [json.loads(detail) for (detail,) in site.database.rows(statement)]
    return {job_id for each in told if each["phase"] == "intent" for job_id in each["jobs"]}


def _not_all_came(given: Interruptions) -> list[str]:
    came = f"only {given.taken} of {given.times} interruptions came"
    return [] if given.all_taken else [came]


def at_an_erase(given: Interruptions) -> list[str]:
    """Erase one person after another; where one erase was cut off, another is asked for.

    Nothing in a stream of Redis can be changed: what it says of the erased is removed.
    """
    site = given.site
    site.enqueue("distinct", 2 * _acts(given))
    site.drain()
    faults = site.check().faults
    ids = [job.id for job in site.jobs("pothole.report")]
    if site.broker_url.startswith("redis"):
        given.explained = {f"I3: {job_id}: 1 cases, 0 case.opened" for job_id in ids}
    given.begin()
    with Operator(given) as operator, Operator(given, armed=False) as successor:
        for number in range(_acts(given)):
            person = ids[2 * number : 2 * number + 2]
            if not operator.ask("erase", person):
                given.until(None, "it is over", lambda: given.is_set)
                successor.insist("erase", person)
    [(named,)] = site.database.rows("SELECT count(*) FROM cases WHERE user_id IS NOT NULL")
    faults += [f"{named} cases still name a person"] if named else []
    return faults + _not_all_came(given)


def at_the_http_api(given: Interruptions) -> list[str]:
    """Post reports under a key, each again and again until it is answered."""
    site = given.site
    ports = [free_port() for _ in range(SERVERS if given.kills and given.times >= MANY else 1)]
    http_servers = [given.serve(http=f"127.0.0.1:{port}", at_most=3, processes=1) for port in ports]
    for port in ports:
        wait_until("the HTTP API is ready", lambda: is_listening(port))  # noqa: B023 - called at once
    posted = 0
    given.begin()
    with httpx.Client(timeout=PATIENCE_SECONDS) as client:
        while not given.all_taken:
            posted += 1
            _post_until_accepted(client, ports, posted)
    given.until(
        http_servers[0],
        "all is done",
        lambda: site.count(State.COMPLETED, "chaos.case") == posted,
    )
    site.stop()
    made = len(site.jobs("chaos.case"))
    return [f"{made} jobs of {posted} reports"] if made != posted else []


def _post_until_accepted(client: httpx.Client, ports: list[int], number: int) -> None:
    body = {"type": "chaos.case", "data": {"lat": 38.0 + number / 500, "lon": -77.0}}
    headers = {"idempotency-key": f"report-{number}"}
    tries = count(number)

    def accepted() -> bool:
        url = f"http://127.0.0.1:{ports[next(tries) % len(ports)]}/jobs"
        with suppress(httpx.TransportError):
            return client.post(url, json=body, headers=headers).status_code == 202
        return False

    wait_until("the report is accepted", accepted)


SCENARIOS: Final[dict[str, Scenario]] = {
    "claim.replied": at_work,
    "effect.before": at_work,
    "effect.within": at_work,
    "effect.after": at_work,
    "settle.before": at_work,
    "settle.after": at_work,
    "relay.published": at_work,
    "reaper.found": at_the_reaper,
    "act.intended": at_an_act,
    "act.done": at_an_act,
    "scheduler.enqueued": at_a_tick,
    "erase.halfway": at_an_erase,
    "http.accepted": at_the_http_api,
}
