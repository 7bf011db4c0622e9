"""The session of a generated Python client: submits, follows, reads, acts, meets problems.

usage: openapi_session.py URL TOKEN, with the generated package `hms_client` on the path
"""

from __future__ import annotations

import datetime
import json
import sys
from typing import TypeVar

from hms_client import AuthenticatedClient, Client
from hms_client.api.cases import get_case
from hms_client.api.envelopes import receive_envelopes
from hms_client.api.health import get_health, get_readiness
from hms_client.api.jobs import cancel_job, enqueue_jobs, explain_job, get_job, list_jobs, retry_job
from hms_client.api.streams import follow_job_events
from hms_client.models.accepted import Accepted
from hms_client.models.case import Case
from hms_client.models.cloud_event import CloudEvent
from hms_client.models.job_data_drill_run import JobDataDrillRun
from hms_client.models.job_data_pothole_report import JobDataPotholeReport
from hms_client.models.job_detail import JobDetail
from hms_client.models.job_page import JobPage
from hms_client.models.job_request_drill_run import JobRequestDrillRun
from hms_client.models.job_request_of_other_type import JobRequestOfOtherType
from hms_client.models.job_request_pothole_report import JobRequestPotholeReport
from hms_client.models.note import Note
from hms_client.models.outcome import Outcome
from hms_client.models.problem import Problem
from hms_client.models.received import Received
from hms_client.models.explanation import Explanation

T = TypeVar("T")
LATER = datetime.datetime(2999, 1, 1, tzinfo=datetime.timezone.utc)


def told(kind: type[T], answer: object) -> T:
    assert isinstance(answer, kind), answer
    return answer


def main(url: str, token: str) -> dict[str, object]:
    client = AuthenticatedClient(base_url=url, token=token)
    anybody = Client(base_url=url)
    pothole = JobRequestPotholeReport(
        type_="pothole.report", data=JobDataPotholeReport(user_id="usr-1", lat=38.8, lon=-77.0)
    )
    posted = enqueue_jobs.sync_detailed(client=client, body=pothole, idempotency_key="one")
    again = enqueue_jobs.sync_detailed(client=client, body=pothole, idempotency_key="one")
    first = told(Accepted, posted.parsed)
    batch = enqueue_jobs.sync(
        client=client,
        body=[
            JobRequestDrillRun(type_="drill.run", data=JobDataDrillRun(message="hello")),
            JobRequestOfOtherType(type_="nobody.serves.this", data={"x": 1}, not_before=LATER),
        ],
    )
    assert isinstance(batch, list), batch
    waits = batch[1].id
    stream = told(str, follow_job_events.sync(first.id, client=client))
    detail = told(JobDetail, get_job.sync(first.id, client=client))
    assert isinstance(detail.case_id, str), detail
    event = CloudEvent(specversion="1.0", id="1", source="/city", type_="x.y", data={"a": 1})
    wrong = JobRequestPotholeReport(
        type_="pothole.report", data=JobDataPotholeReport(user_id="usr-1", lat=999.0, lon=-77.0)
    )
    cancelled = told(Outcome, cancel_job.sync(waits, client=client, body=Note(note="no")))
    state = told(JobDetail, get_job.sync(waits, client=client)).state.value
    refused, absent = (
        told(Problem, enqueue_jobs.sync(client=client, body=wrong)),
        told(Problem, get_job.sync("nobody", client=client)),
    )
    assert isinstance(refused.errors, list)
    return {
        "location": posted.headers["location"] == f"/jobs/{first.id}",
        "replayed": again.headers["idempotency-replayed"],
        "again": told(Accepted, again.parsed).id == first.id,
        "batch": [each.type_ for each in batch],
        "ended": "event: end" in stream,
        "state": detail.state.value,
        "listed": first.id in [
            each.id for each in told(JobPage, list_jobs.sync(client=client, where="state:completed")).jobs
        ],
        "case": told(Case, get_case.sync(detail.case_id, client=client)).job_id == first.id,
        "why": bool(told(Explanation, explain_job.sync(first.id, client=client)).why),
        "cancelled": [cancelled.done, state],
        "retried": told(Outcome, retry_job.sync(waits, client=client)).done,
        "event": told(Received, receive_envelopes.sync(client=client, body=event)).jobs[0].exists,
        "wrong": [refused.status, [each.field for each in refused.errors]],
        "absent": [absent.status, absent.type_],
        "unknown": told(Problem, list_jobs.sync(client=AuthenticatedClient(base_url=url, token="x"))).status,
        "health": [get_health.sync(client=anybody), get_readiness.sync(client=anybody)],
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
