"""What every command prints with `--json`, as it stands in files."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from hms_svc.cli.catalogue import COMMANDS, GROUPS, build
from hms_svc.domain.ids import case_id
from hms_svc.settings import Settings
from tests.golden.files import Answers
from tests.golden.world import build as build_world
from tests.support.api import NOTICE, opened
from tests.support.command_line import Answer, Cli, make_cli
from tests.support.redis_server import RedisServer

CASE: Final = case_id("done-1", "")
READS: Final = (
    "status",
    "workers list",
    "queues list",
    "queues show crew.notify",
    "queues show analysis.run",
    "queues why analysis.run",
    "jobs list",
    "jobs list --archive",
    "jobs groups",
    "jobs show done-1",
    "jobs show held-1",
    "jobs show done-1 --follow",
    "jobs why dead-1",
    "jobs show member-1",
    "jobs why then-1",
    "jobs why then-2",
    "batches list",
    "batches show wards",
    "cases list",
    f"cases show {CASE}",
    "audit list",
    "audit list --fold",
    "schedules list",
    "events",
)
ACTS: Final = (
    "jobs retry dead-1 queued-1 nobody --dry-run",
    "jobs retry --where state:dead --dry-run",
    "jobs deny --where state:held --dry-run",
    "jobs retry dead-1 queued-1 nobody",
    "jobs undo",
    "jobs discard dead-3",
    "jobs cancel queued-1",
    "jobs erase dead-2 queued-2 --dry-run",
    "jobs erase dead-2 queued-2",
    "jobs edit rejected-1 --set user_id=u --dry-run",
    "jobs edit rejected-1 --set user_id=usr-2",
    "queues pause crew.notify --reason strike --intake",
    "queues resume crew.notify",
    "queues purge crew.notify",
    "workers quiet host-1-100-w1 --dry-run",
    "workers quiet host-1-100-w1 --yes",
    "workers resume host-1-100-w1 --yes",
    "workers stop host-1-100-w1 --yes",
    "batches close left --reason gone",
    "schedules run crew.notify",
    "schedules pause crew.notify --reason strike",
    "schedules resume crew.notify",
    f"cases close {CASE}",
    f"cases reopen {CASE}",
    "audit verify",
    "audit accept --yes --reason compared",
    "tokens create portal --scope produce",
    "tokens list",
)
CODES: Final = {
    "jobs retry dead-1 queued-1 nobody": 3,
    "jobs erase dead-2 queued-2": 3,
    "jobs edit rejected-1 --set user_id=u --dry-run": 2,
    "audit verify": 1,
}
UNORDERED: Final = frozenset({"jobs list", "jobs groups"})
"""Lists by time: what moved within one millisecond stands in any order."""
NO_JSON: Final = frozenset({"serve", "demo", "run"})
ELSEWHERE: Final = frozenset({"bench"})
"""Measures: its own tests check its answer."""


class Session:
    """Runs commands, and keeps what they print."""

    def __init__(self, run: Cli, broker: tuple[str, ...]) -> None:
        self._run = run
        self.broker = broker
        self.answers = Answers("cli")
        self.ran: list[str] = []

    def cli(self, *words: object, **options: Any) -> Answer:
        """Run one command over the broker of this test."""
        return self._run(*self.broker, *words, **options)

    def run(self, words: str, *more: object, name: str = "", **options: Any) -> Answer:
        """Run one command, and keep its rows under a name, by default its words."""
        code = CODES.get(words, 0)
        answer = self.cli(*words.split(), *more, "--json", code=code, **options)
        self.keep(words, answer.rows, name)
        return answer

    def keep(self, words: str, rows: list[dict[str, Any]], name: str = "") -> None:
        """Keep the rows of a command."""
        self.ran.append(words)
        if words in UNORDERED:
            rows = sorted(rows, key=lambda row: str(row["id"]))
        self.answers.add(name or re.sub("[^a-z0-9.]+", "-", words.replace(CASE, "case")), rows)


@pytest.fixture(params=["sqlite", "redis"])
def session(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Session:
    """Commands over each broker, with the world behind it."""
    broker: tuple[str, ...] = ()
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        broker = ("--broker-url", server.url())

    async def fill() -> None:
        chosen = replace(settings, broker_url=broker[1]) if broker else settings
        async with opened(chosen) as service:
            await build_world(service)

    asyncio.run(fill())
    return Session(make_cli(tmp_path), broker)


def test_what_every_command_prints_as_json_stands_in_its_file(
    session: Session, tmp_path: Path
) -> None:
    for words in READS:
        session.run(words)
    job = {"type": "crew.notify", "data": NOTICE, "id": "e-1"}
    session.run("enqueue -", stdin=json.dumps(job), name="enqueue")
    session.run("enqueue -", stdin=json.dumps(job), name="enqueue-again")
    session.run("enqueue - --wait", stdin=json.dumps({**job, "id": "done-1"}), name="enqueue-wait")
    for words in ACTS:
        session.run(words)
    [held] = session.cli("jobs", "show", "held-1", "--json").rows
    session.run("jobs approve held-1", "--hold", held["hold"]["id"])
    session.run("jobs deny held-2")
    token = session.run("tokens create viewer --scope view").row["id"]
    session.run("tokens revoke", token)
    session.run("db migrate")
    doctor = session.cli("doctor", "--json", code=1).rows
    session.keep("doctor", [{**row, "text": ""} for row in doctor if row["check"] == "clock"])
    if not session.broker:
        config = session.cli("config", "--json").rows
        session.keep("config", [{**row, "value": None} for row in config])
        [copied] = session.cli("db", "backup", tmp_path / "copies", "--json").rows
        session.keep("db backup", [{name: Path(file).name for name, file in copied.items()}])
    session.answers.check(partly=bool(session.broker))
    if not session.broker:
        assert {
            name for name in _names() if not any(ran.startswith(name) for ran in session.ran)
        } == NO_JSON | ELSEWHERE


def _names() -> set[str]:
    return {
        f"{name} {nested}".strip()
        for name in COMMANDS
        for nested in (build(name).commands if name in GROUPS else ("",))
    }
