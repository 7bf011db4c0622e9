"""An application in the processes of `serve` and in a script: its resources and its logs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from tests.support.command_line import ROOT, Cli, environment, make_cli
from tests.support.proxy import free_port
from tests.support.waiting import PATIENCE_SECONDS, wait_until

DRAIN = ("-m", "hms_svc", "serve", "--drain", "--no-http")
APP = """
from __future__ import annotations
import logging
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from hms_svc import Registry, RunningJob

registry = Registry()
log = logging.getLogger("city")
{setting_up}

class Pool:
    name = "pool"

@registry.resource
async def pool() -> AsyncIterator[Pool]:
    log.info("opening")
    {opening}
    yield Pool()
    log.info("closed")
    Path("closed").touch()

@registry.job("fee.charge")
def charge(job: RunningJob, pool: Pool) -> str:
    log.debug("too much")
    log.info("charging %s", job.payload["amount"])
    return pool.name
"""
JOB = '{"id": "fee-1", "type": "fee.charge", "data": {"amount": 5}}'
Start = Callable[..., subprocess.Popen[str]]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return make_cli(tmp_path / "data")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the program in a folder with the application `city`."""
    started: list[subprocess.Popen[str]] = []

    def start(
        *arguments: str, setting_up: str = "", opening: str = "", **more: str
    ) -> subprocess.Popen[str]:
        app = APP.format(setting_up=setting_up, opening=opening)
        (tmp_path / "city.py").write_text(app)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HMS_SVC")}
        ours = {**environment(tmp_path / "data"), "PYTHONPATH": str(ROOT), **more}
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env={**kept, **ours},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run(start: Start) -> Run:
    """Runs the program to its end."""

    def run(*arguments: str, **named: str) -> subprocess.CompletedProcess[str]:
        process = start(*arguments, **named)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    return run


def attempt_of(cli: Cli, job_id: str = "fee-1") -> tuple[Any, str]:
    """Return a job's result, and the log of its last attempt."""
    row = cli("jobs", "show", job_id, "--json").row
    return row["result"], row["attempts"][-1]["log"]


def test_what_an_application_logs_is_on_standard_error_and_with_the_job(
    run: Run, cli: Cli, tmp_path: Path
) -> None:
    cli("enqueue", "-", stdin=JOB)
    done = run(*DRAIN, "--app", "city:registry")
    assert done.returncode == 0, done.stderr
    for line in (
        "INFO    city: opening\n",
        "INFO    city: charging 5 [fee.charge fee-1, attempt 1]\n",
        "INFO    city: closed\n",
    ):
        assert done.stderr.count(line) == 1, done.stderr
    assert "too much" not in done.stderr
    result, log = attempt_of(cli)
    assert result == "pool"
    assert log.endswith(" INFO    city: charging 5\n")
    assert log.count("\n") == 1
    assert (tmp_path / "closed").exists()


def test_in_json_it_has_the_fields_of_the_job(run: Run, cli: Cli) -> None:
    cli("enqueue", "-", stdin=JOB)
    settings = {"HMS_SVC_LOG_FORMAT": "json", "HMS_SVC_LOG_LEVEL": "debug"}
    done = run(*DRAIN, "--app", "city:registry", **settings)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    own = [line for line in lines if line["logger"] == "city"]
    assert [line["message"] for line in own] == ["opening", "too much", "charging 5", "closed"]
    about = {"job_id": "fee-1", "job_type": "fee.charge", "attempt": 1}
    assert own[2] == {"time": own[2]["time"], "level": "info", "logger": "city", **about} | {
        "message": "charging 5"
    }
    assert "job_id" not in own[0]


def test_an_application_that_configures_logging_is_left_alone(run: Run, cli: Cli) -> None:
    cli("enqueue", "-", stdin=JOB)
    own = 'logging.basicConfig(format="OWN %(message)s", level="DEBUG")'
    done = run(*DRAIN, "--app", "city:registry", setting_up=own)
    assert done.stderr.count("OWN charging 5\n") == 1
    assert done.stderr.count("OWN too much\n") == 1
    assert "city: charging" not in done.stderr
    _, log = attempt_of(cli)
    assert log.count("charging 5") == 1


def test_a_resource_that_does_not_open_ends_a_drain(run: Run) -> None:
    done = run(*DRAIN, "--app", "city:registry", opening='raise OSError("no server")')
    assert done.returncode == 1
    said = "city.py:16: resource pool could not be opened: OSError: no server"
    assert said in done.stderr
    assert "in pool" in done.stderr, "the traceback shows the line"
    assert " serves " not in done.stderr


def test_a_service_whose_resource_does_not_open_is_not_ready_and_claims_nothing(
    start: Start, cli: Cli, tmp_path: Path
) -> None:
    port = free_port()
    opening = 'Path("tried").touch(); Path("server").read_text()'
    arguments = ("-m", "hms_svc", "serve", "--http", f"127.0.0.1:{port}", "--app", "city:registry")
    process = start(*arguments, opening=opening, HMS_SVC_LEASE_SECONDS="1")

    def readiness() -> str:
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                return str(answer.read().decode())
        except HTTPError as error:
            return error.read().decode()
        except (URLError, ConnectionError, TimeoutError):
            return ""

    wait_until("it was tried", (tmp_path / "tried").exists)
    cli("enqueue", "-", stdin=JOB)
    wait_until("it is not ready", lambda: readiness() == "worker\n")
    (tmp_path / "tried").unlink()
    wait_until("it is tried again", (tmp_path / "tried").exists)
    assert cli("jobs", "show", "fee-1", "--json").row["state"] == "queued"
    (tmp_path / "server").touch()
    wait_until("the job is done", lambda: attempt_done(cli))
    wait_until("it is ready", lambda: readiness() == "ready\n")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert "resource pool could not be opened: FileNotFoundError" in err
    assert (tmp_path / "closed").exists()


@pytest.mark.parametrize("opening", ["await asyncio.sleep(3600)", "time.sleep(3600)"])
def test_a_service_whose_resource_does_not_open_for_long_stops_at_once(
    start: Start, tmp_path: Path, opening: str
) -> None:
    """Those that are open by then are closed."""
    kind = "async def" if opening.startswith("await") else "def"
    setting_up = f"""
import asyncio, time

class Lock: pass

@registry.resource
async def lock() -> AsyncIterator[Lock]:
    yield Lock()
    Path("unlocked").touch()

@registry.resource
{kind} slow(lock: Lock) -> None:
    Path("slow").touch()
    {opening}
"""
    arguments = ("-m", "hms_svc", "serve", "--no-http", "--app", "city:registry")
    process = start(*arguments, setting_up=setting_up, HMS_SVC_GRACE_SECONDS="3600")
    wait_until("it is being opened", (tmp_path / "slow").exists)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, "Traceback" in err) == (0, False), err
    assert (tmp_path / "unlocked").exists()


def attempt_done(cli: Cli) -> bool:
    return bool(cli("jobs", "show", "fee-1", "--json").row["state"] == "completed")


def test_a_parameter_that_no_resource_fits_is_told_before_a_worker_starts(run: Run) -> None:
    wrong = '@registry.job("fee.refund")\nasync def refund(job: RunningJob, amount: Decimal): pass'
    done = run(*DRAIN, "--app", "city:registry", setting_up=wrong)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith(
        "hms-svc: app city:registry: city.py:11: type fee.refund: handler refund: parameter amount: "
        "no resource provides decimal.Decimal; there are: city.Pool by pool (city.py:"
    )


SETTINGS = """
from pydantic import BaseModel, SecretStr

@registry.settings("city")
class CitySettings(BaseModel):
    office: str = "North"
    api_key: SecretStr

@registry.job("city.tell")
def tell(job: RunningJob, settings: CitySettings) -> list[str]:
    return [settings.office, settings.api_key.get_secret_value()]
"""


def test_an_application_has_settings_of_its_own(run: Run, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("open sesame\n")
    (tmp_path / "config.toml").write_text(
        'app = ["city:registry"]\n[apps.city]\noffice = "South"\napi_key_file = "key"\n'
    )
    configured = {"HMS_SVC_CONFIG": "config.toml", "setting_up": SETTINGS}
    cli("enqueue", "-", stdin=JOB.replace("fee.charge", "city.tell"))
    done = run(*DRAIN, **configured)
    assert done.returncode == 0, done.stderr
    assert attempt_of(cli)[0] == ["South", "open sesame"]

    shown = run("-m", "hms_svc", "config", "--json", **configured)
    rows = [json.loads(line) for line in shown.stdout.splitlines()]
    origin = f"file {tmp_path / 'config.toml'}"
    assert rows[-2:] == [
        {"setting": "apps.city.office", "value": "South", "source": origin},
        {"setting": "apps.city.api_key", "value": "***", "source": origin},
    ]


def test_wrong_settings_of_an_application_are_told_before_a_worker_starts(run: Run) -> None:
    said = "unknown setting apps.city.ofice (environment HMS_SVC_APPS__CITY__OFICE); did you mean"
    given = {"HMS_SVC_APP": "city:registry", "HMS_SVC_APPS__CITY__OFICE": "South"}
    done = run(*DRAIN, setting_up=SETTINGS, **given)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert said in line
    doctor = run("-m", "hms_svc", "doctor", setting_up=SETTINGS, **given)
    assert f"✗ app: {said}" in doctor.stdout
    config = run("-m", "hms_svc", "config", setting_up=SETTINGS, **given)
    assert said in config.stderr
    assert "apps.city.ofice" in config.stdout
    assert "South" not in config.stdout


SCRIPT = """
import os, signal
from hms_svc import Worker
from city import Pool, registry

def handle(job, pool: Pool):
    signal.raise_signal(signal.SIGTERM)
    return pool.name

Worker("script.job", registry=registry).start(handle)
"""


def test_the_worker_of_a_script_has_the_resources_of_a_registry(
    run: Run, cli: Cli, tmp_path: Path
) -> None:
    cli("enqueue", "-", stdin=JOB.replace("fee.charge", "script.job"))
    (tmp_path / "script.py").write_text(SCRIPT)
    done = run("script.py")
    assert done.returncode == 0, done.stderr
    assert "INFO    city: closed\n" in done.stderr
    assert attempt_of(cli)[0] == "pool"


def test_the_worker_of_a_script_ends_if_a_resource_does_not_open(run: Run, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = run("script.py", opening='raise OSError("no server")')
    assert done.returncode == 1
    assert "resource pool could not be opened: OSError: no server" in done.stderr


def test_the_isolated_handler_of_the_documentation_runs_under_serve(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "handlers.md").read_text(encoding="utf-8")
    section = page.partition("## Handlers in a process of their own")[2].partition("\n## ")[0]
    [example] = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    (tmp_path / "rendering.py").write_text(example, encoding="utf-8")
    environ = {**os.environ, **environment(tmp_path), "PYTHONPATH": f"{tmp_path}:{ROOT}"}

    def hms_svc(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "hms_svc", *words],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout

    job = tmp_path / "job.json"
    job.write_text('{"type": "document.render", "data": {"text": "four"}}', encoding="ascii")
    hms_svc("enqueue", str(job))
    hms_svc("serve", "--drain", "--no-http", "--app", "rendering:app", "--types", "document.*")
    [row] = [json.loads(line) for line in hms_svc("jobs", "list", "--json").splitlines()]
    shown = json.loads(hms_svc("jobs", "show", row["id"], "--json"))
    assert (shown["state"], shown["result"]) == ("completed", 8)


def test_a_step_that_hangs_on_a_thread_does_not_keep_serve_from_ending(tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text(
        "import threading\n"
        "from hms_svc import Registry, RetryPolicy\n"
        "app = Registry()\n"
        "@app.job('step.hangs', timeout_seconds=0.3, retry=RetryPolicy(max_attempts=1))\n"
        "async def hang(job):\n"
        "    await job.step('first', threading.Event().wait)\n",
        encoding="ascii",
    )
    job = tmp_path / "job.json"
    job.write_text('{"type": "step.hangs", "data": {}}', encoding="ascii")
    make_cli(tmp_path)("enqueue", job)
    done = subprocess.run(
        [sys.executable, *DRAIN, "--app", "hanging:app"],
        env={**os.environ, **environment(tmp_path), "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
    assert make_cli(tmp_path)("jobs", "list", "--json").row["reason"] == "timeout"
