"""`hms-svc run`: one job in this process, with a debugger, beside the data of the installation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import ROOT, Cli, environment, make_cli

APP = """
import sys
from collections.abc import Iterator
from pydantic import BaseModel
from hms_svc import Job, Registry, RunningJob, dao

registry = Registry()


@registry.settings("desk")
class Desk(BaseModel):
    name: str = "north"


class Pen:
    def __init__(self, desk: Desk) -> None:
        self.desk = desk


@registry.resource
def pen(desk: Desk) -> Iterator[Pen]:
    yield Pen(desk)
    print("pen closed", file=sys.stderr)


@registry.job("permit.apply")
def apply(job: RunningJob, pen: Pen) -> dict:
    print("written at", pen.desk.name)
    dao.insert_case({"lat": 1.0, "lon": 2.0})
    Job("permit.letter", {"to": job.data}).enqueue()
    return {"for": job.data}


@registry.job("permit.charge")
async def charge(job: RunningJob) -> None:
    amount = job.data * 2
    raise ConnectionError("no bank")


@registry.job("permit.think", timeout_seconds=0.1)
def think(job: RunningJob) -> int:
    thought = 40
    breakpoint()
    return thought + 2


@registry.job("permit.sign", action="permit.sign")
def sign(job: RunningJob) -> None:
    print("signed")
"""
POLICY = """
[[rules]]
id = "signing"
action = "permit.sign"
effect = "hold"
reason = "a person signs"
when = "true"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "permits.py").write_text(APP, encoding="utf-8")
    (tmp_path / "temporary").mkdir()
    return tmp_path


def run(
    folder: Path, job: object, *words: str, stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    file = folder / "job.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "hms_svc", "run", str(file), "--app", "permits:registry", *words],
        cwd=folder,
        env={
            **os.environ,
            **environment(folder / "data"),
            "PYTHONPATH": f"{ROOT}:{folder}",
            "TMPDIR": str(folder / "temporary"),
            **variables,
        },
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def installation(folder: Path) -> Cli:
    return make_cli(folder / "data")


def test_a_job_runs_with_nothing_captured(folder: Path) -> None:
    ran = run(folder, {"type": "permit.apply", "data": 7}, HMS_SVC_APPS__DESK__NAME="south")
    assert ran.returncode == 0, ran.stderr
    printed = ran.stdout.splitlines()
    assert printed[:3] == ["written at south", "completed", 'result: {"for":7}']
    assert printed[3].startswith("case: case-")
    assert printed[4:] == ['enqueued, and not run: permit.letter {"to":7}']
    assert "pen closed" in ran.stderr
    assert list((folder / "temporary").iterdir()) == []


def test_the_data_of_the_installation_is_neither_touched_nor_seen(folder: Path) -> None:
    cli = installation(folder)
    waiting = cli("enqueue", "-", "--json", stdin='{"type": "permit.apply", "data": 1}').row["id"]
    ran = run(folder, {"id": waiting, "type": "permit.apply", "data": 2})
    assert ran.returncode == 0, ran.stderr
    assert [row["id"] for row in cli("jobs", "list", "--json").rows] == [waiting]
    assert cli("jobs", "show", waiting, "--json").row["state"] == "queued"
    assert cli("cases", "list", "--json").rows == []


def test_a_failed_job_is_told_with_its_traceback(folder: Path) -> None:
    ran = run(folder, {"type": "permit.charge", "data": 4})
    assert ran.returncode == 3
    assert ran.stdout == "retrying: error, ConnectionError: no bank\n"
    assert 'raise ConnectionError("no bank")' in ran.stderr


def test_the_debugger_starts_where_the_handler_raised(folder: Path) -> None:
    job = {"type": "permit.charge", "data": 4}
    ran = run(folder, job, "--pdb", stdin="p 'amount', amount\nq\n")
    assert ran.returncode == 3
    assert "('amount', 8)" in ran.stdout
    assert "-> raise ConnectionError" in ran.stdout


def test_breakpoint_works_and_no_timeout_ends_the_job(folder: Path) -> None:
    wait = "import time; time.sleep(0.3)\n"  # longer than the timeout of the type
    ran = run(folder, {"type": "permit.think", "data": None}, stdin=f"{wait}thought = 0\nc\n")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.endswith("completed\nresult: 2\n")


def test_governance_is_that_of_the_installation(folder: Path) -> None:
    policy = folder / "policy.toml"
    policy.write_text(POLICY, encoding="utf-8")
    ran = run(folder, {"type": "permit.sign", "data": 1}, HMS_SVC_POLICY_FILE=str(policy))
    assert ran.returncode == 3, ran.stderr
    assert ran.stdout.startswith("held: ")
    assert "a person signs" in ran.stdout


def test_options_add_to_the_job(folder: Path) -> None:
    job = {"data": {"n": 1}, "not_before": "2200-01-01T00:00:00Z"}
    ran = run(folder, job, "--type", "permit.apply", "--set", "data.n=5")
    assert 'result: {"for":{"n":5}}' in ran.stdout


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ([{"type": "permit.apply", "data": 1}] * 2, "run takes one job, and these are 2"),
        ([], "the array has no jobs"),
        (
            {"type": "permit.applies", "data": 1},
            "no handler for type 'permit.applies'; the types are: ",
        ),
        ({"type": "permit.apply"}, "data"),
    ],
)
def test_what_cannot_run_is_refused(folder: Path, job: object, message: str) -> None:
    ran = run(folder, job)
    assert ran.returncode == 2, ran.stdout
    assert message in ran.stderr


def test_the_debugger_needs_standard_input(cli: Cli) -> None:
    assert "--pdb reads standard input" in cli("run", "-", "--pdb", code=2).err
