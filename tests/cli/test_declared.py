"""What an application declares holds on the command line; what it cannot mean is told before it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command_line import ROOT, Cli, environment

APP = "tests.cli.declared_app:registry"
HEAD = """from hms_svc import Registry
registry = Registry()
"""


def jobs(*wards: int, **more: object) -> str:
    return json.dumps([{"type": "sync.ward", "data": {"ward": ward}, **more} for ward in wards])


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMS_SVC_APP", APP)


def test_enqueue_gives_jobs_their_declared_key_and_priority(cli: Cli) -> None:
    rows = cli("enqueue", "-", "--json", stdin=jobs(7, 7, 8), code=3).rows
    assert [row["state"] for row in rows] == ["queued", "rejected", "queued"]
    shown = [cli("jobs", "show", row["id"], "--json").row for row in rows]
    assert [(row["unique_key"], row["priority"]) for row in shown] == [
        ("ward-7", 50),
        ("ward-7", 50),
        ("ward-8", 50),
    ]
    assert shown[1]["reason"] == "unique"
    assert rows[0]["id"] in shown[1]["detail"]


def test_enqueue_says_which_job_stands(cli: Cli) -> None:
    for type in ("sync.ward", "remind.ward"):
        given = json.dumps({"type": type, "data": {"ward": 7}})
        first = cli("enqueue", "-", "--json", stdin=given).row
        second = cli("enqueue", "-", "--json", stdin=given, code=3).row
        assert "held_by" not in first
        assert second["held_by"] == first["id"]
        third = cli("enqueue", "-", stdin=given, code=3)
        assert f"rejected (job {first['id']} holds its unique key)" in third.out
        why = cli("jobs", "why", second["id"]).out
        assert "another job holds its unique key" in why
        assert first["id"] in why


def test_enqueue_says_which_job_is_replaced(cli: Cli) -> None:
    given = json.dumps({"type": "render.ward", "data": {"ward": 7}})
    first, second = cli("enqueue", "-", "--json", "--count", 2, stdin=given).rows
    assert (second["state"], second["replaced"]) == ("scheduled", first["id"])
    shown = cli("jobs", "show", first["id"], "--json").row
    assert (shown["state"], shown["reason"]) == ("cancelled", "replaced")
    why = cli("jobs", "why", first["id"]).out
    assert f"by job {second['id']}, which then had its unique key, before it was claimed" in why
    third = cli("enqueue", "-", stdin=given)
    assert f"scheduled (it replaces job {second['id']})" in third.out


def test_a_form_of_the_declaration_is_shown(cli: Cli) -> None:
    cli("enqueue", "-", stdin=json.dumps({"type": "remind.ward", "data": {"ward": 7}}))
    shown = cli("queues", "show", "remind.ward").out
    assert "a job holds its key for 1 m" in " ".join(shown.split())


def test_what_a_job_names_itself_stands(cli: Cli) -> None:
    row = cli("enqueue", "-", "--json", stdin=jobs(7, unique_key="mine", priority=0)).row
    shown = cli("jobs", "show", row["id"], "--json").row
    assert (shown["unique_key"], shown["priority"]) == ("mine", 0)


def test_copies_have_one_key(cli: Cli) -> None:
    rows = cli("enqueue", "-", "--json", "--count", 3, stdin=jobs(7)[1:-1], code=3).rows
    assert [row["state"] for row in rows] == ["queued", "rejected", "rejected"]


def test_a_key_that_cannot_be_made_is_a_fault_of_the_input(cli: Cli) -> None:
    bad = json.dumps({"type": "sync.desk", "data": {}})
    answer = cli("enqueue", "-", stdin=bad, code=2)
    told = "unique key of sync.desk: broken_key (tests/cli/declared_app.py:"
    assert told in answer.err
    assert "raised KeyError: 'desk'" in answer.err
    assert cli("status", "--json").row["totals"]["queued"] == 0


def test_without_the_check_it_is_left_to_the_worker(cli: Cli) -> None:
    row = cli("enqueue", "-", "--json", "--no-check", stdin=jobs(7)).row
    shown = cli("jobs", "show", row["id"], "--json").row
    assert (shown["unique_key"], shown["priority"]) == (None, 0)


def test_an_edited_job_has_the_key_of_its_new_data(cli: Cli) -> None:
    first, second = cli("enqueue", "-", "--json", stdin=jobs(7, 7), code=3).rows
    edited = cli("jobs", "edit", second["id"], "--set", "ward=8", "--json").row
    shown = cli("jobs", "show", edited["id"], "--json").row
    assert (shown["unique_key"], shown["priority"], shown["state"]) == ("ward-8", 50, "queued")
    assert cli("jobs", "show", first["id"], "--json").row["state"] == "queued"


def test_an_edited_job_keeps_a_key_that_was_named(cli: Cli) -> None:
    twice = jobs(7, 7, unique_key="mine", priority=3)
    _, second = cli("enqueue", "-", "--json", stdin=twice, code=3).rows
    edited = cli("jobs", "edit", second["id"], "--set", "ward=8", "--json").row
    shown = cli("jobs", "show", edited["id"], "--json").row
    assert (shown["unique_key"], shown["priority"]) == ("mine", 3)
    assert shown["state"] == "rejected"


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def program(tmp_path: Path) -> Run:
    """Runs the program, or a script, in a folder with applications of the test's own."""

    def run(*arguments: str, app: str = "", **files: str) -> subprocess.CompletedProcess[str]:
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(HEAD + text)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HMS_SVC")}
        ours = {**environment(tmp_path / "data"), "PYTHONPATH": str(ROOT)}
        if app:
            ours["HMS_SVC_APP"] = app
        return subprocess.run(
            [sys.executable, *arguments],
            env={**kept, **ours},
            cwd=tmp_path,
            timeout=60,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


CHARGE = """
@registry.job("fee.charge"{})
def charge(job): return 1
"""
DRAIN = ("-m", "hms_svc", "serve", "--drain", "--no-http")


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        (
            ", retry=5",
            "app 'city:registry': city.py:4: type fee.charge: retry 5 is not a RetryPolicy",
        ),
        (", timeout_seconds=-3", "city.py:4: type fee.charge: timeout_seconds -3 is not a number"),
        (", payload=dict", "city.py:4: type fee.charge: payload dict is not a class"),
        (", validators=['x']", "city.py:4: type fee.charge: validators[0] 'x' is not a function"),
        (", time_zone='Nowhere'", "city.py:4: type fee.charge: time zone 'Nowhere' is unknown"),
        (", nosuch=1", "importing city raised TypeError: Registry.job() got an unexpected keyword"),
    ],
)
def test_serve_refuses_an_application_before_it_starts_a_worker(
    program: Run, argument: str, said: str
) -> None:
    done = program(*DRAIN, "--app", "city:registry", city=CHARGE.format(argument))
    assert done.returncode == 2
    assert said in done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("hms-svc: ")


@pytest.mark.parametrize(
    ("app", "files", "said"),
    [
        ("city:registry", {"city": "import nosuchlib"}, "module 'nosuchlib' was not found ("),
        ("city:registry", {"city": "def broken("}, "importing city raised SyntaxError"),
        ("city:registri", {"city": ""}, "city has no registry 'registri'; there are: registry (/"),
        (
            "city:registry",
            {"city": "raise __import__('hms_svc').BadInput('data: expected Remind')"},
            "importing city raised BadInput: data: expected Remind (/",
        ),
        ("city:HEAD", {"city": "HEAD = 5"}, "HEAD is int, not a Registry; there are: registry"),
        ("nowhere:registry", {}, "module 'nowhere' was not found"),
    ],
)
def test_an_application_that_cannot_be_loaded_is_told_in_one_line(
    program: Run, app: str, files: dict[str, str], said: str
) -> None:
    done = program(*DRAIN, "--app", app, **files)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_type_of_two_applications_or_of_ours_is_refused(program: Run) -> None:
    charge, ours = CHARGE.format(""), CHARGE.format("").replace("fee.charge", "pothole.report")
    both = program(*DRAIN, "--app", "one:registry", "--app", "two:registry", one=charge, two=charge)
    assert both.returncode == 2
    assert (
        "app 'two:registry': two.py:4: type fee.charge is declared twice: one.py:4" in both.stderr
    )
    over = program(*DRAIN, "--app", "city:registry", city=ours)
    assert over.returncode == 2
    assert "type pothole.report is declared twice: " in over.stderr
    assert "pothole_report.py:" in over.stderr


def test_a_type_that_is_replaced_on_purpose_is_told_by_log_and_doctor(program: Run) -> None:
    ours = CHARGE.format(", replace=True").replace("fee.charge", "pothole.report")
    served = program(*DRAIN, "--app", "city:registry", city=ours)
    told = "type pothole.report of city.py:4 replaces that of "
    assert served.returncode == 0
    assert told in served.stderr
    doctor = program("-m", "hms_svc", "doctor", app="city:registry")
    assert "✓ app: city:registry can be loaded" in doctor.stdout
    assert f"! app: {told}" in doctor.stdout


def test_doctor_names_an_application_that_cannot_be_served(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HMS_SVC_APP", "nowhere:registry")
    answer = cli("doctor", code=1)
    assert "✗ app: app 'nowhere:registry': module 'nowhere' was not found" in answer.out


WORKER = """
from hms_svc import Worker
def charge({parameters}): return 1
Worker({arguments}).start(charge)
"""


@pytest.mark.parametrize(
    ("parameters", "arguments", "said"),
    [
        (
            "job, a, b",
            "jobs='fee.charge'",
            "script.py:4: type fee.charge: handler charge (script.py:4)",
        ),
        ("job", "jobs='fee.charge', validators=5", "script.py:4: type fee.charge: validators 5"),
        ("job", "jobs='Fee Charge'", "script.py:4: type Fee Charge: "),
        ("job", "jobs=5", "Worker: jobs 5 is not a job type or a list of job types"),
        ("job", "jobs=[]", "Worker: jobs [] is not a job type or a list of job types"),
    ],
)
def test_a_worker_script_that_cannot_be_meant_ends_with_2_and_one_line(
    program: Run, tmp_path: Path, parameters: str, arguments: str, said: str
) -> None:
    text = WORKER.format(parameters=parameters, arguments=arguments).lstrip()
    done = program("script.py", script=text)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
