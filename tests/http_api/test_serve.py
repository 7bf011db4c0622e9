"""`hms-svc serve` as a whole: a supervisor, workers, and the HTTP server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.proxy import free_port
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 30.0
JOB = {"type": "crew.notify", "data": {"case_id": "case-1"}}


class Service:
    """One `serve`, told where to listen."""

    def __init__(
        self, folder: Path, *arguments: str, http: str = "", agencies: Path | None = None
    ) -> None:
        self.http = http or f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.http}"
        environment = {
            **os.environ,
            "HMS_SVC_DATA_DIR": str(folder),
            "HMS_SVC_CONFIG": "",
            "PYTHONPATH": str(ROOT),
        }
        if agencies is not None:
            environment["HMS_SVC_AGENCIES_FILE"] = str(agencies)
        command = [sys.executable, "-m", "hms_svc", "serve", "--http", self.http, *arguments]
        self.process = subprocess.Popen(
            command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def answers(self) -> bool:
        """Return whether the HTTP server says that the workers turn."""
        try:
            return httpx.get(f"{self.url}/healthz").text == "alive\n"
        except httpx.TransportError:
            return False

    def pid_of(self, module: str) -> int:
        """Find a child by its module."""
        own = self.process.pid
        found = subprocess.run(
            ["pgrep", "-P", str(own), "-f", module], capture_output=True, text=True, check=False
        )
        return int(found.stdout.split()[0]) if found.stdout else 0

    def end(self) -> tuple[int, str]:
        """Wait for the end; return exit code and what was said."""
        _, said = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, said


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    started = Service(tmp_path)
    wait_until("the HTTP API answers", started.answers)
    yield started
    if started.process.poll() is None:
        os.killpg(started.process.pid, signal.SIGKILL)
    started.process.communicate()


def test_a_job_comes_in_is_done_and_measured_and_all_ends_well(
    service: Service, tmp_path: Path
) -> None:
    job = httpx.post(f"{service.url}/jobs", json=JOB).json()
    followed = httpx.get(f"{service.url}/jobs/{job['id']}/events", timeout=PATIENCE_SECONDS)
    assert '"state":"completed"' in followed.text
    counted = 'hms_worker_attempts_total{outcome="completed",type="crew.notify"} 1.0'
    wait_until("it is counted", lambda: counted in httpx.get(f"{service.url}/metrics").text)
    assert httpx.get(f"{service.url}/readyz").text == "ready\n"

    code, said = Service(tmp_path, http=service.http).end()
    assert (code, "another process uses this address" in said) == (2, True)
    assert "--http" in said

    api = service.pid_of("hms_svc.processes.http_server_main")
    os.kill(api, signal.SIGKILL)
    wait_until(
        "another HTTP server answers", lambda: service.pid_of("http_server_main") not in {0, api}
    )
    wait_until("another HTTP server answers", service.answers)
    with httpx.stream("GET", f"{service.url}/events", timeout=PATIENCE_SECONDS) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("id: ")
        service.process.send_signal(signal.SIGTERM)
        assert list(lines)[-1] == ""
    assert service.end()[0] == 0


def test_a_file_that_is_broken_later_ends_no_service_that_works(tmp_path: Path) -> None:
    agencies = tmp_path / "agencies.toml"
    agencies.write_text("")
    service = Service(tmp_path, agencies=agencies)
    try:
        wait_until("the HTTP API answers", service.answers)
        worker, api = service.pid_of("worker_main"), service.pid_of("http_server_main")
        agencies.write_text("[[sender]")
        os.kill(api, signal.SIGKILL)
        wait_until(
            "another HTTP server is tried",
            lambda: service.pid_of("http_server_main") not in {0, api},
        )
        wait_until("it has failed", lambda: not service.pid_of("http_server_main"))
        agencies.write_text("")
        wait_until("an HTTP server answers again", service.answers)
        assert service.pid_of("worker_main") == worker
        service.process.send_signal(signal.SIGTERM)
        assert service.end()[0] == 0
    finally:
        if service.process.poll() is None:
            os.killpg(service.process.pid, signal.SIGKILL)


def test_a_door_to_other_machines_needs_a_token(tmp_path: Path) -> None:
    code, said = Service(tmp_path, http=f"0.0.0.0:{free_port()}").end()
    assert (code, "hms-svc tokens create" in said) == (2, True)
    assert len(said.splitlines()) == 1, f"something was started: {said}"


def test_a_setting_that_makes_no_door_ends_it_before_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HMS_SVC_HTTP_TLS_KEY", __file__)
    code, said = Service(tmp_path).end()
    assert (code, said.count("http_tls_key"), "listening" in said) == (2, 1, False)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--http", "127.0.0.1"], "HOST:PORT"),
        (["--http", "nowhere.invalid:80"], "has no address"),
        (["--http", "127.0.0.1:0", "--no-http"], "use one of them"),
    ],
)
def test_an_address_that_is_none_is_named(tmp_path: Path, arguments: list[str], told: str) -> None:
    environment = {**os.environ, "HMS_SVC_DATA_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-m", "hms_svc", "serve", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, told in ran.stderr) == (2, True)
