"""Batches on the command line: seen, explained, cancelled and retried as one, and erased."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hms_svc.bootstrap import backend
from hms_svc.domain.batches import NewBatch, When
from hms_svc.domain.job import Job, make_job
from hms_svc.settings import load_settings
from tests.support.broken_submissions import leave_open
from tests.support.command_line import Cli, environment

AT = 1_800_000_000_000


def submit(
    data_dir: Path, *, when: When = When.ENDED, id: str = "wards", is_left: bool = False
) -> None:
    """Submit a batch of two jobs that one follows; if it `is_left` open, only the first."""
    settings = load_settings(environ=environment(data_dir)).settings

    def job(name: str, type: str) -> Job:
        return make_job(type, {"case_id": name}, now_ms=AT, id=f"{id}-{name}")

    async def work() -> None:
        batch = NewBatch(
            id=id,
            members=(job("1", "crew.notify"), job("2", "crew.notify")),
            follow_ups=(job("then", "ward.report"),),
            when=when,
            created_at=AT,
            by="ann",
        )
        async with backend(settings) as opened:
            if is_left:
                await leave_open(opened.broker, batch)
            else:
                await opened.broker.enqueue_batch(batch.with_its_id())

    asyncio.run(work())


def test_a_batch_is_listed_and_shown(cli: Cli, tmp_path: Path) -> None:
    submit(tmp_path / "data")
    listed = cli("batches", "list").out
    assert "wards   running       0    3   2 queued" in listed
    shown = cli("batches", "show", "wards")
    assert "0 of 3 jobs" in shown.out
    assert "wards-then   ward.report   no" in shown.out
    assert "hms-svc jobs list --where batch:wards" in shown.err
    assert "batch" in cli("jobs", "show", "wards-1").out
    assert "no batch with id 'nobody'" in cli("batches", "show", "nobody", code=2).err


def test_batches_come_in_pages(cli: Cli, tmp_path: Path) -> None:
    for id in ("a", "b", "c"):
        submit(tmp_path / "data", id=id)
    page = cli("batches", "list", "--limit", 2, "--json")
    assert [row["id"] for row in page.rows] == ["c", "b"]
    cursor = page.err.split("--cursor ")[1].strip()
    assert cli("batches", "list", "--cursor", cursor, "--json").row["id"] == "a"
    assert len(cli("batches", "list", "--limit", 0, "--json").rows) == 3


def test_a_batch_is_cancelled_and_retried_as_one(cli: Cli, tmp_path: Path) -> None:
    submit(tmp_path / "data", when=When.COMPLETED)
    why = cli("jobs", "why", "wards-then").out
    assert "is not made yet: it is to follow batch wards, of which 0 of 3 jobs have ended" in why
    cli("jobs", "cancel", "--where", "batch:wards", "--yes")
    assert cli("batches", "show", "wards", "--json").row["state"] == "stopped"
    assert "was stopped before it, because 2 jobs of it did not complete" in (
        cli("jobs", "why", "wards-then").out
    )
    assert "because of it batch wards was stopped before wards-then (ward.report)" in (
        cli("jobs", "why", "wards-1").out
    )
    cli("jobs", "retry", "--where", "batch:wards state:cancelled", "--yes")
    assert cli("batches", "show", "wards", "--json").row["states"] == {"queued": 2}
    cli("jobs", "undo", "--yes")
    assert cli("batches", "show", "wards", "--json").row["states"] == {"cancelled": 2}


def test_a_batch_that_was_left_open_is_closed(cli: Cli, tmp_path: Path) -> None:
    submit(tmp_path / "data", is_left=True)
    assert "wards   open" in cli("batches", "list").out
    why = cli("jobs", "why", "wards-then").out
    assert "or must submit it again; hms-svc batches close wards continues without the rest" in why
    assert "read-only" in cli("--read-only", "batches", "close", "wards", code=6).err
    assert cli("batches", "show", "wards", "--json").row["state"] == "open"
    closed = cli("batches", "close", "wards", "--reason", "its producer is gone", "--yes")
    assert closed.out == "batch wards is closed with 1 member; not accepted: 1\n"
    assert "hms-svc batches show wards" in closed.err
    shown = cli("batches", "show", "wards").out
    assert "0 of 2 jobs" in shown
    assert "not accepted             1 job" in shown
    assert cli("batches", "show", "wards", "--json").row["left_out"] == 1
    intent, outcome = reversed(cli("audit", "list", "--action", "batch.close", "--json").rows)
    assert {row["subject"] for row in (intent, outcome)} == {"submitted-batch:wards"}
    assert intent["detail"] == {"phase": "intent", "note": "its producer is gone"}
    done = {"phase": "outcome", "done": True, "accepted": 1, "left_out": 1}
    assert outcome["detail"] == done
    cli("jobs", "cancel", "--where", "batch:wards", "--yes")
    assert cli("jobs", "show", "wards-then", "--json").row["state"] == "queued"


def test_a_batch_that_is_not_open_is_not_closed(cli: Cli, tmp_path: Path) -> None:
    assert "no batch with id 'nobody'" in cli("batches", "close", "nobody", code=2).err
    submit(tmp_path / "data")
    whole = "batch wards is not open: all of its members are accepted"
    assert whole in cli("batches", "close", "wards", code=6).err
    cli("jobs", "cancel", "--where", "batch:wards", "--yes")
    cli("jobs", "cancel", "--where", "batch:wards -state:cancelled", "--yes")
    assert cli("batches", "show", "wards", "--json").row["state"] == "ended"
    assert whole in cli("batches", "close", "wards", code=6).err
    submit(tmp_path / "data", id="left", is_left=True)
    cli("batches", "close", "left")
    assert "batch left was closed already, by" in cli("batches", "close", "left", code=6).err
    assert len(cli("audit", "list", "--action", "batch.close", "--json").rows) == 2


def test_what_is_to_follow_an_ended_batch_is_erased(cli: Cli, tmp_path: Path) -> None:
    submit(tmp_path / "data", when=When.COMPLETED)
    refused = cli("jobs", "erase", "wards-then", "--yes", code=6)
    assert "is to follow batch wards" in refused.out + refused.err
    cli("jobs", "cancel", "--where", "batch:wards", "--yes")
    cli("jobs", "erase", "wards-then", "--yes")
    assert "no job with id 'wards-then'" in cli("jobs", "why", "wards-then", code=2).err
