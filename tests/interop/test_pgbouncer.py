"""PgBouncer before PostgreSQL: session mode as it comes, and transaction mode refused in one sentence."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest

from hms_svc.domain.backend_url import read_database_url
from hms_svc.domain.errors import BadSetting
from hms_svc.persistence.postgres_address import PostgresAddress, read_postgres_address
from hms_svc.persistence.postgres_connector import Connector
from hms_svc.persistence.postgres_engine import PostgresEngine
from hms_svc.persistence.postgres_pool import Pool
from hms_svc.ports.answer_timeout import MOST_SECONDS
from tests.chaos.site import Site
from tests.interop.conftest import is_ready
from tests.interop.parts import part
from tests.support.postgres_server import PostgresServer
from tests.support.proxy import LOOPBACK, free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.interop

SENTENCE: Final = "uses another session for each transaction (PgBouncer: pool_mode = transaction"


@contextmanager
def bouncer(folder: Path, address: PostgresAddress, mode: str, size: int = 30) -> Iterator[str]:
    """Run a PgBouncer with this pool_mode and nothing allowed beyond; return the database's address there."""
    port = free_port()
    secret = f" password={address.password}" if address.password else ""
    config = folder / f"{mode}.ini"
    config.write_text(
        f"[databases]\n* = host={address.host} port={address.port} user={address.user}{secret}\n"
        f"[pgbouncer]\nlisten_addr = {LOOPBACK}\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = any\npool_mode = {mode}\ndefault_pool_size = {size}\nmax_client_conn = 200\n"
    )
    words = [part("pgbouncer"), *(["-u", "nobody"] if os.geteuid() == 0 else []), str(config)]
    with (folder / f"{mode}.log").open("wb") as log, subprocess.Popen(words, stderr=log) as running:
        try:
            wait_until("it listens", lambda: running.poll() is not None or can_dial(port))
            yield f"postgresql://{address.user}@{LOOPBACK}:{port}/{address.database}"
        finally:
            running.terminate()


def run(site: Site, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hms_svc", *words],
        env=site.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def can_dial(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=5):
            return True
    except OSError:
        return False


@pytest.fixture
def through(
    tmp_path: Path, postgres_server: PostgresServer, bare_database: str
) -> Iterator[Callable[..., str]]:
    """Makes poolers of a mode before a database of the test's own, which has no table yet."""
    address = postgres_server.address(bare_database)
    with ExitStack() as stack:
        yield lambda mode, size=30: stack.enter_context(bouncer(tmp_path, address, mode, size))


def test_session_mode_does_a_job_without_exceptions_in_its_settings(
    through: Callable[[str], str], tmp_path: Path
) -> None:
    address = f"{LOOPBACK}:{free_port()}"
    with closing(Site(tmp_path, "", through("session"))) as site:
        assert run(site, "db", "migrate").returncode == 0
        served = site.serve(http=address)
        served.wait_until("it is ready", lambda: is_ready(address))
        place = {"lat": 38.9, "lon": -77.03, "photo": "s3://a/b.jpg"}
        job = {"type": "pothole.report", "data": {"user_id": "usr-44321", **place}}
        job_id = httpx.post(f"http://{address}/jobs", json=job, timeout=30).json()["id"]
        told = f"http://{address}/jobs/{job_id}"
        wait_until("it is done", lambda: httpx.get(told, timeout=30).json()["state"] == "completed")
        assert len(httpx.get(f"http://{address}/cases", timeout=30).json()["cases"]) == 1
        assert run(site, "doctor").returncode == 0


async def test_sessions_have_our_settings_in_session_mode(through: Callable[[str], str]) -> None:
    address = read_postgres_address(
        read_database_url(through("session") + "?search_path=pg_catalog")
    )
    connector = Connector(address, statement_seconds=4)
    connection = await connector.connect()
    for name, value in {
        **connector.settings,
        "statement_timeout": "4s",
        "lock_timeout": "3200ms",
        "idle_in_transaction_session_timeout": "2s",
    }.items():
        assert (name, await connection.fetchval(f"SHOW {name}")) == (name, value)
    await connector.close_all()


def test_a_pool_of_one_session_is_enough_for_a_command(
    through: Callable[..., str], tmp_path: Path
) -> None:
    site = Site(tmp_path, "", through("session", size=1))
    assert run(site, "db", "migrate").returncode == 0
    done = run(site, "cases", "list")
    assert done.returncode == 0, done.stderr


async def test_a_full_pool_is_no_silence_of_the_database(through: Callable[..., str]) -> None:
    pool = Pool(
        read_postgres_address(read_database_url(through("session", size=1))),
        size=1,
        statement_seconds=5,
    )
    await pool.open()
    try:
        async with pool.connection(), asyncio.timeout(MOST_SECONDS):
            await pool.probe()
    finally:
        await pool.close()


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_an_engine_knows_shared_sessions(through: Callable[[str], str], mode: str) -> None:
    engine = PostgresEngine(read_postgres_address(read_database_url(through(mode))))
    with pytest.raises(BadSetting, match="pool_mode = session"):
        await engine.open()


def test_transaction_mode_is_refused_in_one_sentence_by_every_command(
    through: Callable[[str], str], tmp_path: Path
) -> None:
    site = Site(tmp_path, "", through("transaction"))
    codes = {}
    for words in (
        ("db", "migrate"),
        ("serve", "--no-http"),
        ("doctor",),
        ("audit", "verify"),
        ("status",),
    ):
        done = run(site, *words)
        said = done.stdout + done.stderr
        codes[" ".join(words)] = done.returncode
        assert "Traceback" not in said, said
        assert SENTENCE in " ".join(said.split()), said
    assert codes == {
        "db migrate": 2,
        "serve --no-http": 2,
        "doctor": 1,
        "audit verify": 2,
        "status": 2,
    }
