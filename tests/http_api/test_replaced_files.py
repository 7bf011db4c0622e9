"""`hms-svc serve`, and a backup that is moved over its files while it runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hms_svc.sqlite.backup import copy_database
from tests.http_api.test_serve import JOB, Service
from tests.support.proxy import free_port
from tests.support.waiting import wait_until


class Restarted:
    """One address at which one `serve` follows the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.http = f"127.0.0.1:{free_port()}"
        self.service = self.start()

    def start(self) -> Service:
        self.service = Service(self.folder, http=self.http)
        wait_until("the HTTP API answers", self.service.answers)
        wait_until("all is there", lambda: self.get("/readyz").status_code == 200)
        return self.service

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://{self.http}{path}", timeout=10)

    def post(self, job_id: str) -> int:
        """Submit a job; return the status, 0 where nobody answers any more."""
        try:
            job = {**JOB, "id": job_id}
            return httpx.post(f"http://{self.http}/jobs", json=job, timeout=10).status_code
        except httpx.TransportError:
            return 0

    def restore(self, name: str) -> None:
        """Move a backup over a live file, and remove what is left of its log."""
        path = self.folder / f"{name}.db"
        copy_database(path, path.with_suffix(".backup"))
        path.with_suffix(".backup").rename(path)
        for ending in ("-wal", "-shm"):
            (self.folder / f"{name}.db{ending}").unlink()


@pytest.fixture
def restarted(tmp_path: Path) -> Iterator[Restarted]:
    made = Restarted(tmp_path)
    yield made
    if made.service.process.poll() is None:
        os.killpg(made.service.process.pid, signal.SIGKILL)
    made.service.process.communicate()


@pytest.mark.parametrize("name", ["queue", "cases"])
def test_nothing_is_accepted_into_the_file_that_is_gone_and_the_service_leaves(
    restarted: Restarted, name: str
) -> None:
    assert restarted.post("before") == 202
    restarted.restore(name)
    answers = {f"job-{number}": restarted.post(f"job-{number}") for number in range(5)}
    assert set(answers.values()) <= ({503, 0} if name == "queue" else {202, 503, 0})
    code, said = restarted.service.end()
    assert code == 5
    assert f"{name}.db was replaced by another file while it was open" in said
    assert "files were replaced or removed under this service: it ends with 5" in said
    restarted.start()
    assert restarted.get("/jobs/before").status_code == 200
    for job_id, status in answers.items():
        found = restarted.get(f"/jobs/{job_id}").status_code
        assert found == (200 if status == 202 else 404)
    assert restarted.post("after") == 202
    wait_until("it works", lambda: restarted.get("/jobs/after").json()["state"] == "completed")


def test_a_service_that_nobody_asks_notices_by_itself(restarted: Restarted) -> None:
    (restarted.folder / "queue.db").unlink()
    code, said = restarted.service.end()
    assert code == 5
    assert "queue.db was removed while it was open" in said
