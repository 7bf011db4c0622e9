"""Erasing a person from the command line: nothing that the program shows names them any more."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.command_line import Cli, drain, make_cli

PERSON, OTHER = "usr-44321", "usr-5005"
PLACE, ELSEWHERE = 38.8977, 38.9001


def shown(cli: Cli) -> str:
    """All that the reading commands tell of jobs, cases, events, groups and acts."""
    jobs = [job["id"] for job in cli("jobs", "list", "--limit", 0, "--json").rows]
    commands: list[tuple[str, ...]] = [("jobs", "show", job) for job in jobs]
    commands += [("cases", "list"), ("events",), ("audit", "list"), ("jobs", "groups")]
    return "".join(cli(*words, "--json").out for words in commands)


def rows_of(file: Path) -> str:
    """Every row of every table as SQL; bytes stand there as hexadecimal digits."""
    with closing(sqlite3.connect(file)) as connection:
        return "\n".join(connection.iterdump())


def test_a_person_is_erased_everywhere_and_nobody_else_is(tmp_path: Path) -> None:
    cli = make_cli(tmp_path)
    for user, lat in ((PERSON, PLACE), (OTHER, ELSEWHERE), (PERSON, PLACE)):
        report = {"user_id": user, "lat": lat, "lon": -77.0365, "description": f"seen by {user}"}
        cli("enqueue", "--type", "pothole.report", "-", stdin=json.dumps({"data": report}))
    drain(tmp_path)
    waiting = cli("enqueue", "--type", "x.y", "--set", f"user_id={PERSON}", "--json").row["id"]
    where = f"data.user_id:{PERSON}"

    planned = cli("jobs", "erase", "--where", where, "--dry-run", "--json").row
    assert (planned["jobs"], [each["id"] for each in planned["failures"]]) == (2, [waiting])
    assert PERSON in cli("cases", "list", "--json").out
    assert "read-only" in cli("--read-only", "jobs", "erase", "--where", where, code=6).err
    cli("jobs", "cancel", waiting)
    others = cli("jobs", "list", "--where", f"data.user_id:{OTHER}", "--json").row["id"]
    before = cli("jobs", "show", others, "--json").row

    erased = cli("jobs", "erase", "--where", where, "--reason", "asked for", "--yes", "--json").row
    assert (erased["done"], erased["failed"]) == (3, 0)
    told = shown(cli)
    assert PERSON not in told
    assert str(PLACE) not in told
    assert cli("jobs", "show", others, "--json").row == before
    assert OTHER in cli("cases", "list", "--json").out
    digest = hashlib.sha256(where.encode()).hexdigest()
    acts = [
        act["detail"] for act in cli("audit", "list", "--json").rows if act["action"] == "job.erase"
    ]
    assert [act["where_sha256"] for act in acts if act["phase"] == "intent"] == [digest]
    cli("audit", "verify")
    for name in ("queue.db", "cases.db"):
        kept = rows_of(tmp_path / name)
        assert not any(word in kept for word in (PERSON, PERSON.encode().hex().upper()))
        assert OTHER.encode().hex().upper() in kept


def test_what_cannot_be_erased_says_why(cli: Cli) -> None:
    job = cli("enqueue", "--type", "x.y", "--json").row["id"]
    refused = cli("jobs", "erase", job, code=6)
    assert f"job {job}: a job that is queued cannot be erased: cancel it first" in refused.err
    assert "no job with id 'nobody'" in cli("jobs", "erase", "nobody", code=2).err
    assert "empty" in cli("jobs", "erase", "--where", " ", code=2).err
