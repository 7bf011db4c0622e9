"""The doctor's looks at the machine: file systems, files and who sits on a lock."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from hms_svc.domain.job import make_job
from hms_svc.operations import doctor, reads
from hms_svc.operations.doctor import FindingLevel, examine_machine
from hms_svc.ports.broker import WorkerRegistration
from hms_svc.ports.clock import SystemClock
from hms_svc.settings import Settings, load_settings
from hms_svc.sqlite.filesystem import NETWORK_TYPES, filesystem_type
from hms_svc.sqlite.lock import LockFile
from tests.support.operator_service import open_operator

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
host:/x /mnt/far nfs4 rw 0 0
host:/y /mnt/far\\040away cifs rw 0 0
tmpfs /mnt/far/near tmpfs rw 0 0
broken
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/data", "ext4"),
        ("/mnt/far/data", "nfs4"),
        ("/mnt/far away/data", "cifs"),
        ("/mnt/far/near/data", "tmpfs"),
        ("/mnt/farther", "ext4"),
    ],
)
def test_the_innermost_mount_tells_the_file_system(path: str, kind: str) -> None:
    assert filesystem_type(Path(path), MOUNTS) == kind


def settings(folder: Path) -> Settings:
    return load_settings({"data_dir": folder}, environ={"HMS_SVC_CONFIG": ""}).settings


async def levels(folder: Path, check: str) -> set[FindingLevel]:
    findings = await examine_machine(settings(folder))
    return {finding.level for finding in findings if finding.check == check}


async def test_a_new_installation_has_nothing_wrong(tmp_path: Path) -> None:
    findings = await examine_machine(settings(tmp_path / "new"))
    assert FindingLevel.ERROR not in {finding.level for finding in findings}


async def test_a_network_file_system_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "filesystem_type", lambda path: "nfs4")
    assert "nfs4" in NETWORK_TYPES
    assert FindingLevel.ERROR in await levels(tmp_path, "broker file")


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + bytes(2) + b"\1\1"])
async def test_a_file_that_is_no_wal_database_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "queue.db").write_bytes(content)
    assert FindingLevel.ERROR in await levels(tmp_path, "broker file")


async def test_who_sits_on_the_write_lock_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_PROBES", 1)
    lock = LockFile(tmp_path / "queue.db")
    with lock.held():
        findings = await examine_machine(settings(tmp_path))
    lock.close()
    assert any(
        f"process {os.getpid()} has held the write lock" in finding.text for finding in findings
    )


async def test_many_unserved_types_are_named_in_part_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "MOST_LISTED", 20)
    async with open_operator(tmp_path) as operator:
        broker, clock = operator.engines.broker, SystemClock()
        jobs = [make_job(f"typo.{n:02}", 1, now_ms=clock.now_ms()) for n in range(25)]
        await broker.enqueue(jobs)
        lease_keeper = broker.lease_keeper()
        worker = WorkerRegistration(
            id="w", host="h", pid=1, slots=4, busy=0, types=("a.job",), started_at=1
        )
        await asyncio.to_thread(lease_keeper.register, worker)
        await asyncio.to_thread(lease_keeper.close)
        operations = operator.operations
        findings = await doctor.examine_engines(
            operations.reads, operations.audit, operator.settings
        )
    [told] = [finding.text for finding in findings if finding.check == "health"]
    named = ", ".join(f"typo.{n:02} (1)" for n in range(10))
    assert told.startswith("20 types unserved, 20 jobs waiting")
    assert told.endswith(f"; no live worker serves {named} and 10 more")
    [left_off] = [finding.text for finding in findings if finding.check == "queues"]
    assert left_off == "5 types that no live worker serves, beyond a thousand, were not checked"
