"""Acts on jobs, queues and cases, over a city in which the samples were worked off."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from hms_svc.cli import jobs_act
from hms_svc.operations import bulk
from tests.cli.walk_commands import commands
from tests.support.command_line import City, Cli, drain, find


def test_a_dry_run_tells_and_does_nothing(city: City) -> None:
    cli, _ = city
    where = "state:rejected -validator:identity"
    plan = cli("jobs", "retry", "--where", where, "--dry-run", "--json").row
    assert plan["jobs"] == 3
    assert {group["reason"] for group in plan["groups"]} == {"duplicate", "payload", "governance"}
    assert len(cli("jobs", "list", "--where", where, "--json").rows) == 3


def test_read_only_refuses_every_act(city: City) -> None:
    cli, _ = city
    job = find(cli, "validator:identity")["id"]
    for act in ("retry", "discard"):
        assert "read-only" in cli("--read-only", "jobs", act, job, code=6).err
    for arguments in (("queues", "pause", "x"), ("jobs", "undo"), ("queues", "purge", "x")):
        assert "read-only" in cli("--read-only", *arguments, code=6).err
    cli("--read-only", "jobs", "show", job)


def test_a_discard_is_undone(city: City) -> None:
    cli, _ = city
    job = find(cli, "validator:identity")["id"]
    assert cli("jobs", "discard", job, "--json").row["done"] == 1
    assert cli("jobs", "list", "--where", "validator:identity").out.count(job) == 0
    assert cli("jobs", "undo", "--json").row["done"] == 1
    assert find(cli, "validator:identity")["id"] == job
    cli("jobs", "undo", code=2)


def test_acts_are_on_record_with_intent_and_outcome(city: City) -> None:
    cli, _ = city
    job = find(cli, "reason:malformed")["id"]
    cli("jobs", "discard", job, "--reason", "noise")
    cli("jobs", "undo")
    rows = cli("audit", "list", "--subject", job, "--json").rows
    discards = [row["detail"] for row in rows if row["action"] == "job.discard"]
    assert [detail["phase"] for detail in discards] == ["outcome", "intent"]
    assert discards[1]["note"] == "noise"
    assert {row["actor"] for row in rows} == {"tester"}


def test_the_former_name_of_a_reason_still_works_everywhere(city: City) -> None:
    cli, _ = city
    cli("queues", "pause", "crew.notify", "--note", "storm")
    cli("queues", "resume", "crew.notify")
    case = cli("cases", "list", "--json", "--limit", "1").row["id"]
    cli("cases", "close", case, "--note=mended")
    cli("cases", "reopen", case)
    for subject, notes in (("queue:crew.notify", {"storm"}), (case, {"mended"})):
        rows = cli("audit", "list", "--subject", subject, "--json").rows
        assert notes <= {row["detail"].get("note") for row in rows}


def test_the_sentence_of_an_operator_has_one_name_in_the_help() -> None:
    options = {
        " ".join(names): {option for each in command.params for option in each.opts}
        for names, command in commands()
    }
    named = {name for name, given in options.items() if "--reason" in given}
    assert {"jobs cancel", "queues pause", "schedules pause", "workers quiet"} <= named
    assert {"jobs erase", "cases close", "audit accept"} <= named
    assert not any("--note" in given for given in options.values())


def test_acts_that_the_state_forbids_are_refused(city: City) -> None:
    cli, _ = city
    done = find(cli, "state:completed type:pothole.*")["id"]
    rejected = find(cli, "validator:identity")["id"]
    cli("jobs", "retry", done, code=6)
    cli("jobs", "approve", rejected, code=6)
    cli("jobs", "edit", done, "--set", "lat=1.0", code=6)
    cli("jobs", "retry", "nobody", code=2)
    cli("jobs", "retry", code=2)
    cli("jobs", "retry", "x", "--where", "state:dead", code=2)
    cli("jobs", "retry", "--where", " ", code=2)


def test_edit_makes_a_new_job_and_leaves_the_original(city: City) -> None:
    cli, _ = city
    rejected = find(cli, "validator:identity")["id"]
    assert "data.lat" in cli("jobs", "edit", rejected, "--set", "lat=999", code=2).err
    made = cli("jobs", "edit", rejected, "--set", "user_id=usr-7", "--json").row
    assert made["retried_from"] == rejected
    shown = cli("jobs", "show", made["id"], "--json").row
    assert (shown["data"]["user_id"], shown["retried_from"]) == ("usr-7", rejected)
    part = cli("jobs", "cancel", made["id"], rejected, "--json", code=3).row
    assert (part["done"], [each["id"] for each in part["failures"]]) == (1, [rejected])


def test_the_first_hundred_failures_are_listed_and_all_are_counted(cli: Cli) -> None:
    unknown = [f"nobody-{number}" for number in range(150)]
    made = cli("enqueue", "--type", "drill.run", "--set", "n=1", "--no-check", "--json").row["id"]
    plan = cli("jobs", "cancel", made, *unknown, "--dry-run", "--json").row
    assert (plan["jobs"], plan["failed"], len(plan["failures"])) == (1, 150, 100)
    shown = cli("jobs", "cancel", made, *unknown, "--dry-run")
    assert shown.err.count("cannot be changed: nobody-") == 100
    assert "… and 50 more" in shown.err
    done = cli("jobs", "cancel", made, *unknown, code=3)
    assert done.err.count("not cancelled: nobody-") == 100
    assert "… and 50 more" in done.err
    report = cli("jobs", "cancel", made, *unknown, "--json", code=6).row
    assert (report["done"], report["failed"], len(report["failures"])) == (0, 151, 100)


def test_an_edit_is_rehearsed_and_its_difference_shown(city: City) -> None:
    cli, _ = city
    rejected = find(cli, "validator:identity")["id"]
    edit = ("jobs", "edit", rejected, "--dry-run")
    told = cli(*edit, "--set", "user_id=usr-7", "--json").row
    assert (told["state"], told["retried_from"]) == ("not enqueued", rejected)
    assert {check["name"]: check["verdict"] for check in told["checks"]} == {
        "payload": "passes",
        "identity": "passes",
        "duplicate": "passes",
        "governance: create_case": "passes",
    }
    assert told["diff"][-3:] == ['-  "user_id": "somebody"', '+  "user_id": "usr-7"', " }"]
    refused = cli(*edit, "--set", "user_id=nobody", code=2)
    assert "refuses identity: user_id 'nobody'" in refused.out
    assert "identity refuses" in refused.err
    unchecked = cli(*edit, "--set", "user_id=nobody", "--no-check").out
    assert '+  "user_id": "nobody"' in unchecked
    cli("jobs", "show", told["id"], code=2)


def test_a_rehearsal_that_says_no_stops_an_edit_and_a_hold_is_told(city: City) -> None:
    cli, _ = city
    rejected = find(cli, "validator:identity")["id"]
    near = ("--set", "user_id=usr-7", "--set", "lat=38.8977", "--set", "lon=-77.0365")
    assert "duplicate refuses: open case" in cli("jobs", "edit", rejected, *near, code=2).err
    photo = ("--set", "user_id=usr-9", "--set", "photo=file:///home/me/a.jpg")
    assert "photo-from-nowhere" in cli("jobs", "edit", rejected, *photo, code=6).err
    closing = ("--set", "user_id=usr-8", "--set", "needs_road_closure=true")
    held = cli("jobs", "edit", rejected, *closing)
    assert "governance: create_case holds" in held.err
    cli("jobs", "cancel", held.out.split()[0])


def test_pause_is_told_by_why_and_resume_ends_it(cli: Cli) -> None:
    job = cli("enqueue", "--type", "x.y", "--json").row["id"]
    cli("queues", "pause", "x.y", "--reason", "storm")
    assert "paused by tester (storm)" in cli("jobs", "why", job).out
    assert cli("queues", "list", "--json").row["intake_paused"] is False
    cli("queues", "pause", "x.y", "--reason", "storm", "--intake")
    assert cli("queues", "list", "--json").row["intake_paused"] is True
    cli("enqueue", "--type", "x.y")
    cli("queues", "resume", "x.y")
    assert "no live worker serves x.y" in cli("jobs", "why", job).out


def test_purge_cancels_what_waits(cli: Cli) -> None:
    cli("enqueue", "--type", "x.y", "--count", 1200)
    report = cli("queues", "purge", "x.y", "--json").row
    assert (report["act"], report["done"], report["left"]) == ("purge", 1200, 0)
    assert cli("status", "--json").row["totals"]["cancelled"] == 1200
    assert cli("jobs", "undo", report["batch"], "--json").row["done"] == 1200
    again = cli("queues", "purge", "x.y")
    assert "to undo it: hms-svc jobs undo" in again.err
    cli("queues", "purge", "nobody", code=2)


def test_a_bulk_act_takes_many_chunks(cli: Cli) -> None:
    cli("enqueue", "--type", "x.y", "--count", 600)
    report = cli("jobs", "cancel", "--where", "type:x.* state:queued", "--json").row
    assert (report["done"], report["failed"]) == (600, 0)


def test_an_interrupted_bulk_act_tells_what_is_left(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupts = iter([signal.SIGINT])

    def interrupt_once(_: int) -> None:
        for each in interrupts:
            signal.raise_signal(each)

    @contextmanager
    def pressing(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
        yield interrupt_once

    monkeypatch.setattr(jobs_act, "progress", pressing)
    monkeypatch.setattr(bulk, "CHUNK", 2)
    cli("enqueue", "--type", "x.y", "--count", 9)
    report = cli("jobs", "cancel", "--where", "state:queued", "--json", code=130).row
    assert (report["done"] + report["left"], report["failed"]) == (9, 0)
    assert report["done"] == cli("status", "--json").row["totals"]["cancelled"]


def test_cases_close_and_reopen(city: City) -> None:
    cli, _ = city
    case = cli("cases", "list", "--json", "--limit", "1").row["id"]
    assert cli("cases", "close", case, "--reason", "mended", "--json").row["status"] == "closed"
    assert case not in cli("cases", "list", "--status", "open").out
    assert cli("cases", "reopen", case, "--json").row["status"] == "open"
    cli("cases", "show", "nobody", code=2)


def test_approved_jobs_complete(city: City) -> None:
    cli, folder = city
    held = find(cli, "state:held")["id"]
    assert cli("jobs", "approve", held, "--reason", "go", "--json").row["done"] == 1
    drain(folder)
    assert cli("jobs", "show", held, "--json").row["state"] == "completed"


@pytest.mark.parametrize("act", ["pause", "resume"])
def test_a_type_that_is_known_nowhere_is_paused_and_resumed_with_a_warning(
    cli: Cli, act: str
) -> None:
    told = cli("queues", act, "crew.notif")
    assert told.out == f"crew.notif is {act.removesuffix('e')}ed\n"
    warning = "warning: no worker serves 'crew.notif'; did you mean crew.notify?\n"
    assert told.err == warning
    assert cli("queues", act, "crew.notif", "--json").err == warning
    assert cli("queues", act, "crew.notify").err == ""
    cli("enqueue", "-", stdin='{"type": "street.sweep", "data": {}}')
    assert cli("queues", act, "street.sweep").err == ""
    assert "did you mean street.sweep?" in cli("queues", act, "street.sweap").err
