"""What a process loads before it does anything: proved in a fresh interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEADLESS = [
    "hms_svc",
    "hms_svc.aio",
    "hms_svc.bootstrap",
    "hms_svc.cli",
    "hms_svc.cli.app",
    "hms_svc.api.worker",
    "hms_svc.operations.service",
    "hms_svc.persistence.database",
    "hms_svc.runtime.worker",
    "hms_svc.services",
    "hms_svc.processes.worker_main",
]
ENQUEUE = """
from hms_svc import Job
Job("pothole.report", {"user_id": "usr-1", "lat": 1.0, "lon": 2.0}).enqueue()
"""

WORK = """
import asyncio
from hms_svc import bootstrap
from hms_svc.runtime.worker import Worker
from hms_svc.settings import load_settings

async def work():
    settings = load_settings().settings
    async with bootstrap.engines(settings, bootstrap.application(settings)) as engines:
        worker = Worker(engines, bootstrap.worker_options(settings, worker_id="w"))
        worker.stop()
        await worker.run()

asyncio.run(work())
"""


CONSOLE = """
from contextlib import suppress
from hms_svc.cli.app import make_app

with suppress(SystemExit):
    make_app()(["--read-only", "--theme", "light"])
import hms_svc.tui.app, hms_svc.tui.screens.overview
"""
"""Without a terminal it ends before it shows anything: what follows loads what the first frame needs."""


COMMAND = """
from contextlib import suppress
from hms_svc.cli.app import make_app

with suppress(SystemExit):
    make_app()({arguments!r}, prog_name="hms-svc")
print()
"""
POTHOLE = ROOT / "sample_jobs" / "pothole.json"
MOST_MODULES = {
    "--help": (["--help"], 220),
    "enqueue FILE": (["enqueue", str(POTHOLE)], 480),
}
"""Commands, and how many modules they may load: a few more than they do, since newer Pythons have more of their own."""
LOAD_AHEAD = """
from hms_svc import bootstrap
from hms_svc.settings import load_settings
bootstrap.load_worker_modules(load_settings().settings)
"""


def loaded_by(script: str, tmp_path: Path) -> set[str]:
    """Return the names of all modules that are loaded once a script has run."""
    ignored = (
        "HMS_SVC",
        "COVERAGE",
    )  # `make coverage` measures subprocesses too, by modules of its own
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ignored)}
    environment = {
        **kept,
        "PYTHONPATH": str(ROOT),
        "HMS_SVC_CONFIG": "",
        "HMS_SVC_DATA_DIR": str(tmp_path),
    }
    tell = "\nimport sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script + tell],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("module", HEADLESS)
def test_headless_modules_load_no_textual(module: str, tmp_path: Path) -> None:
    assert loaded_by(f"import {module}", tmp_path).isdisjoint({"textual", "tui"})


def test_a_producer_loads_the_broker_and_little_else(tmp_path: Path) -> None:
    heavy = {
        "sqlalchemy",
        "alembic",
        "textual",
        "tui",
        "cel",
        "httpx",
        "pydantic",
        "typer",
        "rich",
    }
    assert loaded_by(ENQUEUE, tmp_path).isdisjoint(heavy)


def test_handles_are_loaded_when_they_are_used(tmp_path: Path) -> None:
    found = loaded_by(f"from hms_svc import Registry, aio\n{ENQUEUE}", tmp_path)
    assert found.isdisjoint({"hms_svc.api.job_service", "hms_svc.api.handle_calls"})


def test_what_checks_the_settings_of_http_loads_no_server(tmp_path: Path) -> None:
    heavy = {"fastapi", "starlette", "uvicorn", "jwt", "pydantic", "httpx", "sqlalchemy"}
    assert loaded_by("import hms_svc.http_api.settings_check", tmp_path).isdisjoint(heavy)


def test_the_surface_itself_loads_nothing_of_others(tmp_path: Path) -> None:
    heavy = {"sqlalchemy", "alembic", "textual", "cel", "httpx", "pydantic", "msgspec", "asyncio"}
    assert loaded_by("import hms_svc", tmp_path).isdisjoint(heavy)


def test_a_worker_without_a_collector_loads_nothing_of_traces_or_metrics(tmp_path: Path) -> None:
    assert loaded_by(WORK, tmp_path).isdisjoint({"opentelemetry", "prometheus_client"})


def test_the_first_frame_of_the_console_needs_no_engine_and_no_model(tmp_path: Path) -> None:
    heavy = {"pydantic", "sqlalchemy", "alembic", "redis", "aiosqlite", "cel", "httpx", "email"}
    assert loaded_by(CONSOLE, tmp_path).isdisjoint(heavy)


@pytest.mark.parametrize("name", MOST_MODULES)
def test_a_command_loads_few_modules(name: str, tmp_path: Path) -> None:
    arguments, most = MOST_MODULES[name]
    found = loaded_by(COMMAND.format(arguments=arguments), tmp_path)
    heavy = {"sqlalchemy", "rich", "httpx", "cel"}
    assert found.isdisjoint(heavy)
    assert len(found) <= most, sorted(found)


def test_the_help_of_the_program_loads_no_command_of_a_group(tmp_path: Path) -> None:
    found = loaded_by(COMMAND.format(arguments=["--help"]), tmp_path)
    assert "hms_svc.cli.enqueue" in found
    assert found.isdisjoint({"hms_svc.cli.jobs_edit", "hms_svc.cli.queues", "hms_svc.cli.db"})


def test_a_worker_with_nothing_to_do_loads_few_modules(tmp_path: Path) -> None:
    found = loaded_by(WORK, tmp_path)
    assert found.isdisjoint({"typer", "textual", "fastapi", "httpx", "alembic", "redis", "rich"})
    assert len(found) <= 650, sorted(found)


def test_what_a_worker_loads_ahead_is_what_it_needs(tmp_path: Path) -> None:
    ahead = loaded_by(LOAD_AHEAD, tmp_path)
    assert {"sqlalchemy", "pydantic"} <= ahead
    assert ahead <= loaded_by(WORK, tmp_path)


def test_the_supervisor_loads_few_modules(tmp_path: Path) -> None:
    found = loaded_by("import hms_svc.processes.supervisor_main", tmp_path)
    assert found.isdisjoint({"asyncio", "sqlalchemy", "pydantic", "typer", "hms_svc.bootstrap"})
    assert len(found) <= 190, sorted(found)
