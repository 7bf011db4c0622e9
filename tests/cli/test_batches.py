"""Batches on the command line: seen, explained, cancelled and retried as one, and erased."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hms_svc.bootstrap import backend
from hms_svc.domain.batches import NewBatch, When
from hms_svc.domain.job import Job, make_job
from hms_svc.settings import load_settings
from tests.support.command_line import Cli, environment

AT = 1_800_000_000_000


def submit(data_dir: Path, *, when: When = When.ENDED, id: str = "wards") -> None:
    """Submit a batch of two jobs that one follows."""
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


def test_what_is_to_follow_an_ended_batch_is_erased(cli: Cli, tmp_path: Path) -> None:
    submit(tmp_path / "data", when=When.COMPLETED)
    refused = cli("jobs", "erase", "wards-then", "--yes", code=6)
    assert "is to follow batch wards" in refused.out + refused.err
    cli("jobs", "cancel", "--where", "batch:wards", "--yes")
    cli("jobs", "erase", "wards-then", "--yes")
    assert "no job with id 'wards-then'" in cli("jobs", "why", "wards-then", code=2).err
