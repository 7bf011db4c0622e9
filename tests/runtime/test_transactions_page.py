"""The examples of docs/transactions.md, and the rows of its table: real workers that are killed there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hms_svc import follow_up_id
from hms_svc.domain.lifecycle import TERMINAL, State
from tests.chaos.views import broker_view
from tests.support.command_line import Answer, make_cli
from tests.support.page_examples import write_examples
from tests.support.postgres_server import PostgresServer
from tests.support.serve_process import serving
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
KILLED = '''
import os, signal
from pathlib import Path
from hms_svc import Job, Registry, RunningJob, Transaction

app = Registry()
HERE = Path(__file__).parent


def note(line):
    with open(HERE / "notes", "a") as notes:
        notes.write(line + "\\n")


def die_once(job, place):
    """Kill this worker, the first time that the job comes to the place where it is to die."""
    if job.data["die"] == place and not (HERE / job.id).exists():
        (HERE / job.id).touch()
        os.kill(os.getpid(), signal.SIGKILL)


def validator(payload):
    note("validator " + payload["parcel"])


@app.job("permit.apply", validators=[validator])
async def apply(job: RunningJob):
    async def write(tx: Transaction):
        note("write " + job.data["parcel"])
        await tx.execute("create table if not exists permits (id text, parcel text unique)")
        await tx.execute("insert into permits (id, parcel) values ($1, $2)", job.id, job.data["parcel"])
        tx.enqueue(Job("permit.review", {"permit": job.id}, id="review-" + job.id))
        die_once(job, "inside")
        return {"permit": job.id}

    granted = await job.transaction(write)
    die_once(job, "after")
    return granted


@app.job("permit.review")
def review(job: RunningJob):
    note("review " + job.data["permit"])
'''


@pytest.fixture(
    params=["sqlite-sqlite", pytest.param("redis-postgresql", marks=pytest.mark.interop)]
)
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HMS_SVC")}
    given = {
        **kept,
        "HMS_SVC_CONFIG": "",
        "HMS_SVC_DATA_DIR": str(tmp_path / "data"),
        "PYTHONPATH": f"{ROOT}:{tmp_path}",
    }
    if request.param == "redis-postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        name: str = request.getfixturevalue("postgres_database")
        given["HMS_SVC_BROKER_URL"] = request.getfixturevalue("redis_server").url()
        given["HMS_SVC_DATABASE_URL"] = server.url(name)
    return given


def program(environment: dict[str, str], *arguments: str) -> Answer:
    """Run a command in this process."""
    ours = {name: value for name, value in environment.items() if name.startswith("HMS_SVC")}
    return make_cli(Path(environment["HMS_SVC_DATA_DIR"]), **ours)(*arguments)


def enqueue(environment: dict[str, str], folder: Path, *jobs: dict[str, Any]) -> None:
    file = folder / "jobs.json"
    file.write_text(json.dumps(jobs))
    program(environment, "enqueue", str(file))


def state_of(environment: dict[str, str], job_id: str) -> State | None:
    """Read the state of a job from the broker; None for an unknown one."""
    embedded = f"sqlite:///{environment['HMS_SVC_DATA_DIR']}/queue.db"
    view = broker_view(environment.get("HMS_SVC_BROKER_URL", embedded))
    try:
        return next((job.state for job in view.jobs() if job.id == job_id), None)
    finally:
        view.close()


def completed(environment: dict[str, str], job_id: str) -> dict[str, Any]:
    """Wait until a job has ended, and return how it is shown."""
    wait_until(f"{job_id} has ended", lambda: state_of(environment, job_id) in TERMINAL)
    answer = program(environment, "jobs", "show", job_id, "--json").row
    assert answer["state"] == "completed", answer
    return answer


def test_the_examples_of_the_page_run(tmp_path: Path, environment: dict[str, str]) -> None:
    write_examples("docs/transactions.md", tmp_path)
    apply = {"id": "p-1", "type": "permit.apply", "data": {"parcel": "A-1"}}
    fees = [
        {"id": f"f-{cents}", "type": "fee.record", "data": {"cents": cents}} for cents in (5, 7)
    ]
    with serving("permits:app", tmp_path, environment):
        enqueue(environment, tmp_path, apply)
        assert completed(environment, "p-1")["result"] == {"permit": "p-1"}
        review = follow_up_id("p-1", "permit.review")
        assert completed(environment, review)["result"] == "reviewed p-1"
        form = [sys.executable, str(tmp_path / "web_form.py")]
        assert (
            subprocess.run(form, env=environment, check=True, capture_output=True).stdout == b"1\n"
        )
        assert completed(environment, "p-A-3")["result"] == {"permit": "p-A-3"}
        if "HMS_SVC_DATABASE_URL" in environment:
            subprocess.run([sys.executable, tmp_path / "submit.py"], env=environment, check=True)
            assert completed(environment, "p-A-2")["result"] == {"permit": "p-A-2"}
    with serving("fees:app", tmp_path, environment):
        enqueue(environment, tmp_path, *fees)
        results = {completed(environment, f"f-{cents}")["result"] for cents in (5, 7)}
        assert max(results) == 12


@pytest.mark.parametrize(
    ("environment", "place", "written"),
    [
        pytest.param("sqlite-sqlite", "after", 1, marks=pytest.mark.interop),
        ("sqlite-sqlite", "inside", 2),
        pytest.param("redis-postgresql", "after", 1, marks=pytest.mark.interop),
        pytest.param("redis-postgresql", "inside", 2, marks=pytest.mark.interop),
    ],
    indirect=["environment"],
)
def test_a_worker_that_is_killed_there_loses_and_doubles_nothing(
    tmp_path: Path, environment: dict[str, str], place: str, written: int
) -> None:
    (tmp_path / "killed.py").write_text(KILLED)
    job = {"id": "p-1", "type": "permit.apply", "data": {"parcel": "A-1", "die": place}}
    with serving("killed:app", tmp_path, environment):
        enqueue(environment, tmp_path, job)
        shown = completed(environment, "p-1")
        assert shown["result"] == {"permit": "p-1"}
        assert shown["case_id"].startswith("transaction-")
        completed(environment, "review-p-1")
    notes = (tmp_path / "notes").read_text().splitlines()
    assert notes.count("write A-1") == written
    assert notes.count("validator A-1") == written
    assert notes.count("review p-1") == 1
    assert (tmp_path / "p-1").exists()
