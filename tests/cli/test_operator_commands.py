"""Lists, explanations and health, over a city in which the samples were worked off."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hms_svc.bootstrap import backend, database
from hms_svc.settings import load_settings
from tests.support.command_line import SAMPLES, City, Cli, environment, find, make_cli


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("validator:identity", "validator identity rejected it"),
        ("validator:duplicate", "validator duplicate rejected it: open case case-"),
        ("reason:payload", "lat"),
        ("reason:governance state:rejected", "governance (photo-from-nowhere) denied it"),
        ("state:held", "rule road-closure requires a person"),
        ("reason:malformed", "not a job"),
        ("state:completed type:pothole.*", "made case-"),
    ],
)
def test_every_sample_ends_as_told_and_tells_why(city: City, where: str, sentence: str) -> None:
    cli, _ = city
    job = find(cli, where)
    assert sentence in cli("jobs", "why", job["id"]).out


def test_shapes_are_the_contracts(city: City) -> None:
    cli, _ = city
    job = find(cli, "state:completed type:pothole.*")
    assert set(job) == {
        "id",
        "type",
        "state",
        "attempt",
        "enqueued_at",
        "reason",
        "by",
        "detail",
        "cause",
    }
    shown = cli("jobs", "show", job["id"], "--json").row
    assert set(job) | {"data", "result", "case_id", "attempts", "history", "retried_from"} <= set(
        shown
    )
    assert [move["to"] for move in shown["history"]] == ["queued", "processing", "completed"]
    case = cli("cases", "show", shown["case_id"], "--json").row
    assert {
        "id",
        "job_id",
        "kind",
        "lat",
        "lon",
        "user_id",
        "urgency",
        "status",
        "opened_at",
    } <= set(case)
    status = cli("status", "--json").row
    assert {"broker", "database", "queues", "workers", "totals"} <= set(status)
    assert status["totals"]["dead"] == 1
    queue = next(each for each in status["queues"] if each["type"] == "pothole.report")
    assert {
        "queued",
        "scheduled",
        "held",
        "processing",
        "retrying",
        "rejected",
        "dead",
        "cancelled",
        "completed",
        "oldest_age_s",
        "paused",
        "served",
    } <= set(queue)


def test_people_get_tables_and_stories(city: City) -> None:
    cli, _ = city
    job = find(cli, "state:completed type:pothole.*")
    assert job["id"] in cli("jobs", "list").out
    assert "history" in cli("jobs", "show", job["id"]).out
    assert "pothole.report" in cli("status").out
    assert "pothole.report" in cli("queues", "list").out
    assert "pothole" in cli("cases", "list").out
    assert "case.opened" in cli("events").out
    assert "case.opened" in cli("audit", "list").out


def test_lists_go_on_at_the_cursor(city: City) -> None:
    cli, _ = city
    whole = [row["id"] for row in cli("jobs", "list", "--json", "--limit", "0").rows]
    seen: list[str] = []
    cursor: list[str] = []
    while True:
        page = cli("jobs", "list", "--json", "--limit", "2", *cursor)
        seen += [row["id"] for row in page.rows]
        if "--cursor" not in page.err:
            break
        cursor = ["--cursor", page.err.split()[-1]]
    assert seen == whole


def test_events_end_replay_and_are_given_to_a_group_once(city: City) -> None:
    cli, _ = city
    kept = cli("events", "--json").rows
    assert {"specversion", "id", "type", "source", "subject", "time", "data"} <= set(kept[0])
    assert cli("events", "--from", "now").out == ""
    assert cli("events", "--from", "2000-01-01T00:00:00Z", "--json").rows == kept
    assert cli("events", "--from", "2100-01-01T00:00:00Z").out == ""
    replayed = cli("events", "--from", "outbox", "--json").rows
    opened = [event["id"] for event in kept if event["type"] == "case.opened"]
    assert [event["id"] for event in replayed if event["type"] == "case.opened"] == opened
    assert len(cli("events", "--group", "g", "--json").rows) == len(kept)
    assert cli("events", "--group", "g").out == ""
    refused = cli("events", "--group", "receiver:act", code=2)
    assert "group receiver:act is reserved" in refused.err


def test_audit_holds(city: City) -> None:
    cli, _ = city
    assert cli("audit", "verify", "--json").row == {"ok": True, "faults": []}


def test_doctor_finds_nothing_wrong_and_knows_what_to_say(city: City) -> None:
    cli, _ = city
    findings = cli("doctor", "--json").rows
    assert {each["level"] for each in findings} <= {"ok", "note"}
    assert {"data directory", "policy", "broker", "database", "health", "outbox"} <= {
        each["check"] for each in findings
    }


def test_the_audit_is_listed_by_actor_and_action_and_without_the_rows_of_each_job(
    city: City,
) -> None:
    cli, _ = city

    def acts(*options: str) -> list[tuple[str, str]]:
        rows = cli("audit", "list", "--limit", "0", "--json", *options).rows
        return [(row["actor"].partition(":")[0], row["action"]) for row in rows]

    cli("jobs", "discard", "--where", "validator:identity", "--yes")
    cli("jobs", "undo")
    people = acts("--actor", "-worker:*")
    assert {actor for actor, _ in people} == {"tester"}
    assert {act for _, act in acts("--action", "case.*")} == {"case.opened"}
    assert acts("--act", "case.*") == acts("--action", "case.*")
    assert len(acts("--actor", "tester", "--fold")) <= len(people)
    cli("audit", "list", "--action", "a*b", code=2)


def test_a_filter_for_an_id_that_no_job_has_says_so(cli: Cli) -> None:
    told = cli("jobs", "list", "--where", "id:nobody").err
    assert told == (
        "no job with id 'nobody' matches; to search for part of an id: --where id~nobody\n"
    )


def test_what_the_broker_let_go_of_stays_listable(tmp_path: Path) -> None:
    cli = make_cli(tmp_path)
    (tmp_path / "bytes").write_bytes(b"no job")
    job = cli("enqueue", "--raw", "--type", "x.y", tmp_path / "bytes", "--json", code=3).row["id"]
    settings = load_settings(environ=environment(tmp_path)).settings

    async def move_to_archive() -> None:
        stores = database(settings)
        await stores.open()
        async with backend(settings) as engines:
            details = await engines.control.to_archive(older_than=2**50, limit=10)
            await stores.archive.keep(details)
            await engines.control.forget([detail.view.id for detail in details])
        await stores.close()

    asyncio.run(move_to_archive())
    assert cli("jobs", "list", "--json").out == ""
    listed = cli("jobs", "list", "--archive", "--where", "reason:malformed", "--json").row
    assert listed["id"] == job
    assert cli("jobs", "list", "--archive", "--where", "reason:error").out.count(job) == 0
    assert cli("jobs", "show", job, "--json").row["reason"] == "malformed"
    assert "its record is in the archive" in cli("jobs", "why", job).out


def test_a_backup_is_an_installation_of_its_own(cli: Cli, tmp_path: Path) -> None:
    job = cli("enqueue", "--type", "x.y", "--json").row["id"]
    cli("db", "backup", tmp_path / "copy")
    copied = make_cli(tmp_path / "copy")
    assert copied("jobs", "list", "--json").row["id"] == job
    assert copied("audit", "list", "--json").rows[0]["action"] == "db.backup"
    assert "exists" in cli("db", "backup", tmp_path / "copy", code=2).err


def test_groups_tell_why_jobs_failed_and_lead_to_them(city: City) -> None:
    cli, _ = city
    groups = cli("jobs", "groups", "--json").rows
    assert sum(group["count"] for group in groups) == len(
        cli("jobs", "list", "--where", "state:dead,rejected", "--json").rows
    )
    [duplicate] = [group for group in groups if group["reason"] == "duplicate"]
    found = cli("jobs", "list", "--where", f"cause:{duplicate['id']}", "--json").rows
    assert {job["cause"] for job in found} == {duplicate["id"]}
    assert len(found) == duplicate["count"] == sum(duplicate["recent"])
    assert duplicate["id"] in cli("jobs", "groups").out


def test_status_tells_the_health_that_the_doctor_tells(tmp_path: Path) -> None:
    cli = make_cli(tmp_path / "data")
    cli("enqueue", SAMPLES / "pothole.json", "--count", 30)
    health = cli("status", "--json").row["health"]
    [trouble] = health["troubles"]
    assert (health["level"], trouble["kind"], trouble["level"]) == ("down", "no_workers", "down")
    assert trouble["message"] == "no workers, 30 jobs waiting"
    assert "down: no workers, 30 jobs waiting" in cli("status").out
    [finding] = [each for each in cli("doctor", "--json").rows if each["check"] == "health"]
    assert finding["level"] == "note"
    assert finding["text"].startswith("no workers, 30 jobs waiting")


def test_status_tells_why_a_database_is_away(tmp_path: Path) -> None:
    cli = make_cli(tmp_path / "data")
    cli("status")
    (tmp_path / "data" / "cases.db").unlink()
    (tmp_path / "data" / "cases.db").mkdir()
    [trouble] = [
        each
        for each in cli("status", "--json").row["health"]["troubles"]
        if each["kind"] == "database_down"
    ]
    assert trouble["message"] == "database down"
    assert "cases.db" in trouble["detail"]


def test_half_an_id_says_how_it_is_looked_for(city: City) -> None:
    cli, _ = city
    job = find(cli, "validator:identity")["id"]
    assert f"--where id~{job[-8:]}" in cli("jobs", "list", "--where", f"id:{job[-8:]}").err
    assert find(cli, f"id~{job[-8:]}")["id"] == job
    assert cli("jobs", "list", "--where", f"id:{job}").err == ""


def test_a_queue_tells_why_it_does_not_move(city: City) -> None:
    cli, _ = city
    told = cli("queues", "why", "pothole.report", "--json").row
    assert told["type"] == "pothole.report"
    assert told["why"].startswith("Queue pothole.report has no ready job")
    assert told["why"] in cli("queues", "why", "pothole.report").out
    assert "no queue 'no.such'" in cli("queues", "why", "no.such", code=2).err


def test_tables_show_times_in_the_readers_zone_and_json_in_utc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = make_cli(tmp_path / "data")
    monkeypatch.setenv("HMS_SVC_TIME_ZONE", "Asia/Kolkata")
    job = cli("enqueue", SAMPLES / "pothole.json", "--json").row["id"]
    assert " IST" in cli("jobs", "show", job).out
    assert cli("jobs", "show", job, "--json").row["enqueued_at"].endswith("Z")
    monkeypatch.setenv("HMS_SVC_TIME_ZONE", "Mars")
    assert "Mars" in cli("jobs", "list", code=2).err
