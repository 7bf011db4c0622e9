"""Jobs that wait while the form of their payload changes: upgraded at each claim, never rewritten."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from hms_svc import Job, RunningJob, bootstrap
from hms_svc.domain.errors import MalformedJob
from hms_svc.domain.job import make_job
from hms_svc.domain.lifecycle import State
from hms_svc.domain.strict_json import decode, encode
from hms_svc.domain.verdict import Effect, Verdict
from hms_svc.domain.views import JobDetail
from hms_svc.operations.explanation import JobFacts, explain
from hms_svc.operations.producer_fields import producer_fields
from hms_svc.ports.control import Act
from hms_svc.ports.policy import Question
from hms_svc.sdk.job_defaults import complete
from hms_svc.sdk.registry import Registry
from hms_svc.settings import Settings
from tests.support.worker import TYPE, HarnessMaker, WorkerHarness, registry_of, result_of

HANDLERS_PAGE = Path(__file__).resolve().parents[2] / "docs" / "handlers.md"
FIRST = {"name": "Ada"}
CURRENT = {"full_name": "Ada", "email": "none@example.org"}


class Application(BaseModel):
    full_name: str
    email: str


def rename(data: Any) -> Any:
    """Version 1 to 2, changing in place what it is given."""
    data["full_name"] = data.pop("name")
    return data


def add_email(data: Any) -> Any:
    return {**data, "email": "none@example.org"}


UPGRADES = {1: rename, 2: add_email}
VERSIONED: dict[str, Any] = {"version": 3, "upgrade": UPGRADES}


def shows(job: RunningJob) -> Any:
    payload = job.payload
    return [job.data, payload.model_dump() if isinstance(payload, BaseModel) else payload]


async def shows_async(job: RunningJob) -> Any:
    return shows(job)


def version_of(detail: JobDetail) -> int:
    return producer_fields(detail).version


@pytest.mark.parametrize("handler", [shows, shows_async])
@pytest.mark.parametrize("payload", [None, Application])
async def test_an_older_payload_is_upgraded_and_stays_as_it_was_accepted(
    open_harness: HarnessMaker, handler: Any, payload: Any
) -> None:
    async with open_harness(registry_of(handler, payload=payload, **VERSIONED)) as harness:
        harness.start()
        for version, data in [(None, FIRST), (1, FIRST), (2, {"full_name": "Ada"})]:
            detail = await harness.run(data, version=version)
            assert result_of(detail) == [data, CURRENT]
            assert decode(detail.view.data) == data
            assert version_of(detail) == (version or 1)


async def test_a_current_payload_is_taken_as_it_is(open_harness: HarnessMaker) -> None:
    async with open_harness(registry_of(shows, payload=Application, **VERSIONED)) as harness:
        harness.start()
        detail = await harness.run(CURRENT, version=3)
        assert result_of(detail) == [CURRENT, CURRENT]
        assert version_of(detail) == 3
        assert decode(detail.envelope)["version"] == 3


async def test_a_pushed_job_says_its_version_or_has_the_first(open_harness: HarnessMaker) -> None:
    async with open_harness(registry_of(shows, payload=Application, **VERSIONED)) as harness:
        items = [
            encode({"id": "old", "data": FIRST}),
            encode({"id": "new", "data": CURRENT, "version": 3}),
            encode({"id": "bad", "data": CURRENT, "version": "3"}),
        ]
        await harness.engines.broker.enqueue_raw(TYPE, items)
        harness.start()
        assert result_of(await harness.reaches("old"))[1] == CURRENT
        assert result_of(await harness.reaches("new"))[1] == CURRENT


async def test_a_job_that_a_handler_enqueues_has_the_declared_version(
    open_harness: HarnessMaker,
) -> None:
    async def enqueues(job: RunningJob) -> None:
        await job.broker.enqueue([Job(TYPE, CURRENT, id="stamped").envelope])
        await job.broker.enqueue([Job(TYPE, FIRST, id="older", version=1).envelope])

    registry = registry_of(shows, payload=Application, **VERSIONED)
    registry.job("other.job")(enqueues)
    async with open_harness(registry) as harness:
        harness.start()
        await harness.run(type="other.job")
        stamped = await harness.reaches("stamped")
        assert (result_of(stamped)[1], version_of(stamped)) == (CURRENT, 3)
        older = await harness.reaches("older")
        assert (result_of(older)[1], version_of(older)) == (CURRENT, 1)


def cannot(data: Any) -> Any:
    raise KeyError("name")


def forgets(data: Any) -> Any:
    data["email"] = ""


@pytest.mark.parametrize("handler", [shows, shows_async])
@pytest.mark.parametrize(
    ("broken", "words", "error"),
    [
        (cannot, "raised KeyError: 'name'", "KeyError"),
        (forgets, "returned nothing: it must return the new data", "UpgradeFault"),
    ],
)
@pytest.mark.parametrize("unique", [None, lambda application: application.email])
async def test_an_upgrade_that_fails_ends_the_job_until_it_is_repaired(
    open_harness: HarnessMaker, handler: Any, broken: Any, words: str, error: str, unique: Any
) -> None:
    upgrade = {1: rename, 2: broken}
    registry = registry_of(handler, payload=Application, version=3, upgrade=upgrade, unique=unique)
    async with open_harness(registry) as harness:
        harness.start()
        detail = await harness.run(FIRST)
        view = detail.view
        assert (view.state, view.reason, view.by) == (State.DEAD, "upgrade", broken.__name__)
        assert view.detail.startswith(
            f"data: upgrade of the payload from version 2 to 3 by {broken.__name__} (tests/runtime/"
        )
        assert words in view.detail
        assert view.failure.startswith(f"{error}: ")
        assert len(detail.attempts) == 1
        why = explain(JobFacts(detail=detail, now_ms=view.finished_at or 0))
        assert "its payload could not be upgraded: data: upgrade of the payload from" in why
    async with open_harness(registry_of(handler, payload=Application, **VERSIONED)) as harness:
        await harness.act(Act.RETRY, view.id)
        harness.start()
        assert result_of(await harness.reaches(view.id)) == [FIRST, CURRENT]


@pytest.mark.parametrize("known", [1, 2])
async def test_a_newer_payload_waits_for_a_worker_that_knows_it(
    open_harness: HarnessMaker, known: int
) -> None:
    older = {"version": known, "upgrade": {1: rename} if known > 1 else {}}
    registry = registry_of(shows, payload=Application, unique=lambda payload: "key", **older)
    async with open_harness(registry) as harness:
        harness.start()
        job_id = await harness.enqueue(CURRENT, version=3)
        detail = await harness.reaches(job_id, State.SCHEDULED)
        assert (detail.view.attempt, detail.history[-1].trigger) == (0, "released")
        words = "its payload has version 3, and the application of the worker that claimed it knows"
        assert detail.view.detail == f"{words} up to {known}"
        assert words in explain(JobFacts(detail=detail, now_ms=detail.view.enqueued_at))
    async with open_harness(registry_of(shows, payload=Application, **VERSIONED)) as harness:
        await harness.act(Act.RETRY, job_id)
        harness.start()
        detail = await harness.reaches(job_id)
        assert (result_of(detail)[1], detail.view.attempt) == (CURRENT, 1)


class AsksAPerson:
    """A policy that holds everything."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def decide(self, question: Question) -> Verdict:
        self.asked.append(question.payload)
        return Verdict(Effect.HOLD, "r-1", "a person decides")

    def rule_text(self, rule: str) -> str:
        return ""

    async def close(self) -> None:
        """Hold nothing."""


@asynccontextmanager
async def governed(
    settings: Settings, registry: Registry, policy: AsksAPerson
) -> AsyncIterator[WorkerHarness]:
    async with bootstrap.engines(settings, registry) as engines:
        harness = WorkerHarness(msgspec.structs.replace(engines, policy=policy), settings)
        try:
            yield harness
        finally:
            await harness.stop()


async def test_an_approval_stays_bound_to_the_accepted_payload(settings: Settings) -> None:
    policy = AsksAPerson()
    async with governed(settings, registry_of(shows, action="apply"), policy) as harness:
        harness.start()
        job_id = await harness.enqueue(FIRST)
        await harness.reaches(job_id, State.HELD)
    registry = registry_of(shows, payload=Application, action="apply", **VERSIONED)
    async with governed(settings, registry, policy) as harness:
        await harness.act(Act.APPROVE, job_id)
        harness.start()
        assert result_of(await harness.reaches(job_id)) == [FIRST, CURRENT]
    assert policy.asked == [FIRST, FIRST]


def email_of(application: Application) -> str:
    return application.email


def submitted(data: Any, version: int | None = None) -> tuple[int | None, str | None]:
    registry = registry_of(shows, payload=Application, unique=email_of, **VERSIONED)
    job = complete(make_job(TYPE, data, now_ms=0, version=version), registry)
    assert decode(job.data) == data
    return job.version, job.unique_key


def test_who_knows_the_application_validates_against_the_current_form() -> None:
    assert submitted(CURRENT) == (3, "none@example.org")
    assert submitted(FIRST, version=1) == (1, "none@example.org")
    assert submitted({"anything": True}, version=4) == (4, None)
    with pytest.raises(MalformedJob, match=r"data\.full_name"):
        submitted(FIRST)
    with pytest.raises(MalformedJob, match=r"from version 1 to 2 by rename .* raised KeyError"):
        submitted({"nothing": 1}, version=1)


async def test_the_example_of_the_document(open_harness: HarnessMaker) -> None:
    section = (
        HANDLERS_PAGE.read_text().partition("## Versions of a payload")[2].partition("\n## ")[0]
    )
    [example] = re.findall(r"```python\n(from .*?)```", section, re.DOTALL)
    written: dict[str, Any] = {}
    exec(compile(example, "handlers.md", "exec", dont_inherit=True), written)
    async with open_harness(written["registry"]) as harness:
        harness.start()
        detail = await harness.run({"name": "Ada"}, type="permit.apply")
        assert result_of(detail) == "Ada <unknown@example.org>"
        detail = await harness.run(
            {"name": "Ada", "email": "ada@example.org"}, type="permit.apply", version=2
        )
        assert result_of(detail) == "Ada <ada@example.org>"
