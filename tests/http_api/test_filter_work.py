"""Costly filters over HTTP: a part of the answer and a cursor, or a refusal that names the bound."""

from __future__ import annotations

from hms_svc.operations.tokens import Scope
from hms_svc.ports.filter_judge import MOST_WORK
from tests.support.api import ApiService

from .test_acts import Operator

MANY_TERMS = " OR ".join(f"data.b~z{number}" for number in range(260))
TOO_COSTLY = "data.b:*" + "É?" * 1800 + "x*"


async def with_large_jobs(service: ApiService, count: int) -> Operator:
    operator = Operator(service, await service.token(Scope.OPERATE, Scope.PRODUCE, name="ada"))
    for number in range(count):
        job = {"id": f"large-{number}", "type": "large.one", "data": {"b": "É" * 400_000}}
        assert (await operator.post("/jobs", job)).status_code == 202
    return operator


async def test_a_page_whose_filter_takes_much_is_a_part_and_has_a_cursor(
    service: ApiService,
) -> None:
    operator = await with_large_jobs(service, 4)
    page = await operator.get("/jobs", where=f"{MANY_TERMS} OR id:large-0", limit=1)
    assert page["jobs"] == []
    pages = 1
    while not page["jobs"]:
        page = await operator.get(
            "/jobs", where=f"{MANY_TERMS} OR id:large-0", limit=1, cursor=page["cursor"]
        )
        pages += 1
    assert pages <= 4 * 260 * 400_000 // MOST_WORK + 2
    assert [job["id"] for job in page["jobs"]] == ["large-0"]


async def test_what_one_job_alone_makes_too_costly_is_422_with_the_bound(
    service: ApiService,
) -> None:
    operator = await with_large_jobs(service, 1)
    answer = await service.client.get(
        "/jobs", params={"where": TOO_COSTLY}, headers=operator.headers
    )
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:hms-svc:problem:filter-too-costly"
    assert "1,000,000,000 characters of job large-0" in answer.json()["detail"]
    acts = {"act": "cancel", "where": TOO_COSTLY, "dry_run": True}
    assert await operator.problem("/jobs/acts", acts) == (422, "filter-too-costly")
