"""The examples of docs/handles.md and README.md, with a service that runs them, on both brokers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hms_svc.settings import Settings
from tests.support.page_examples import write_examples
from tests.support.waiting import PATIENCE_SECONDS
from tests.support.worker import on_embedded_first

pytestmark = on_embedded_first
ROOT = Path(__file__).resolve().parents[2]
ASK_WEB = """
import asyncio
import httpx
from hms_svc import Job, aio
import web

async def ask():
    transport = httpx.ASGITransport(app=web.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://web") as client:
        accepted = (await client.post("/permits", json={"parcel": "18"})).json()
        answer = (await client.get(f"/permits/{accepted['id']}")).json()
        while "state" in answer:
            answer = (await client.get(f"/permits/{accepted['id']}")).json()
        print(accepted["state"], accepted["held_by"], answer)
    review = await aio.jobs.enqueue(Job("permit.review", "19"))
    print(await review.result(60))
    await aio.close()

asyncio.run(ask())
"""


@pytest.fixture
def environment(tmp_path: Path, settings: Settings) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HMS_SVC")}
    return {
        **kept,
        "HMS_SVC_CONFIG": "",
        "HMS_SVC_DATA_DIR": str(settings.data_dir),
        "HMS_SVC_BROKER_URL": settings.broker_url,
        "PYTHONPATH": f"{ROOT}:{tmp_path}",
    }


@contextmanager
def serving(app: str, folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """Run a service with the types of an application; at the end it is asked to stop, and waited for."""
    command = [sys.executable, "-m", "hms_svc", "serve", "--no-http", "--app", app]
    with (
        open(folder / "serve.log", "wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as serve,
    ):
        yield
        serve.terminate()
        assert serve.wait(PATIENCE_SECONDS) == 0, (folder / "serve.log").read_text()


def run(environment: dict[str, str], *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_the_examples_of_the_page_run(tmp_path: Path, environment: dict[str, str]) -> None:
    write_examples("docs/handles.md", tmp_path)
    with serving("permits:registry", tmp_path, environment):
        first, second = run(environment, str(tmp_path / "script.py"))
        assert first == "P-17"
        assert second.startswith("completed ")
        assert run(environment, "-c", ASK_WEB) == ["queued None {'permit': 'P-18'}", "P-19"]


def test_the_service_of_the_readme_runs(tmp_path: Path, environment: dict[str, str]) -> None:
    write_examples("README.md", tmp_path)
    with serving("city:registry", tmp_path, environment):
        assert run(environment, str(tmp_path / "order.py")) == ["{'pole': 'L-17'}"]
