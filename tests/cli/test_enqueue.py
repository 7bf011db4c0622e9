"""`enqueue`: all or nothing, and every fault named with its file, line and field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import SAMPLES, Cli

REPORT = {"user_id": "usr-1", "lat": 38.9, "lon": -77.0}


def count(cli: Cli) -> int:
    return int(cli("status", "--json").row["totals"]["queued"])


def line(type: str = "crew.drill", **fields: object) -> str:
    return json.dumps({"type": type, "data": {}, **fields}) + "\n"


BAD: dict[str, tuple[bytes, str]] = {
    "not JSON": (b"hello", ":1: not JSON"),
    "empty": (b"", ":1: empty"),
    "a number": (b"5", ":1: a job is a JSON object, not a number"),
    "no type": (b'{"data":{}}', ":1: type is missing"),
    "an id of ours": (
        b'{"id":"hms:tick:x.y:20260101T0900Z","type":"x","data":{}}',
        ":1: id hms:tick:x.y:20260101T0900Z begins with hms:",
    ),
    "a type of ours": (
        b'{"type":"event.deliver","data":{"receiver":"act","event":{}}}',
        ":1: type event.deliver is reserved for jobs that hms-svc creates itself",
    ),
    "no data": (b'{"type":"x"}', ":1: data is missing"),
    "bad type": (b'{"type":"Bad Type","data":{}}', ":1: type 'Bad Type'"),
    "second line": (b'{"type":"x","data":{}}\n{"type":"x","data":}\n', ":2: not JSON"),
    "NaN": (b'{"type":"x","data":NaN}', ":1: NaN"),
    "duplicate key": (b'{"type":"x","data":{"a":1,"a":2}}', ":1: key 'a' occurs twice"),
    "deep": (b'{"type":"x","data":' + b"[" * 5000 + b"]" * 5000 + b"}", "deeper than 64"),
    "long integer": (b'{"type":"x","data":' + b"9" * 5000 + b"}", "2^63"),
    "lone surrogate": (b'{"type":"x","data":"\\ud800"}', ":1: data: a lone surrogate"),
    "NUL": (b'{"type":"x","data":"a\\u0000"}', ":1: data: NUL"),
    "latitude": (
        b'{\n"type":"pothole.report",\n"data":{"user_id":"usr-1",\n"lat":123,"lon":1.0}}',
        ":4: data.lat:",
    ),
    "far time": (
        b'{"type":"x","data":1,"expires_at":"9999-12-31T23:59:59-23:59"}',
        ":1: expires_at '9999-12-31T23:59:59-23:59' is outside of the years 1970 to 9000",
    ),
    "time without minutes": (
        b'{"type":"x","data":1,"not_before":"2026-01-01T00Z"}',
        ":1: not_before '2026-01-01T00Z' is not an RFC 3339 time",
    ),
    "too large": (b'{"type":"x","data":"' + b"a" * 1_100_000 + b'"}', ":1: data has 1100002 bytes"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_named_and_nothing_is_enqueued(cli: Cli, tmp_path: Path, kind: str) -> None:
    raw, message = BAD[kind]
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(line())
    bad.write_bytes(raw)
    answer = cli("enqueue", good, bad, code=2)
    assert f"{bad}{message}" in answer.err or message in answer.err
    assert str(bad) in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""
    assert count(cli) == 0


def test_a_missing_file_is_named(cli: Cli, tmp_path: Path) -> None:
    answer = cli("enqueue", tmp_path / "gone.json", code=2)
    assert "gone.json: No such file" in answer.err


def test_prints_id_type_and_state(cli: Cli) -> None:
    row = cli("enqueue", SAMPLES / "pothole.json", "--json").row
    assert row == {"id": row["id"], "type": "pothole.report", "state": "queued", "exists": False}


def test_reads_lines_and_arrays_from_standard_input(cli: Cli) -> None:
    stdin = line(id="a") + json.dumps([{"type": "x", "data": 1, "id": "b"}])
    rows = cli("enqueue", "-", "--json", stdin=stdin).rows
    assert [row["id"] for row in rows] == ["a", "b"]


def test_options_shape_what_is_read(cli: Cli) -> None:
    rows = cli(
        "enqueue",
        "--type",
        "x.y",
        "--set",
        "n=u{n}",
        "--set",
        "priority=3",
        "--count",
        3,
        "--delay",
        "1h",
        "--json",
    ).rows
    assert {row["state"] for row in rows} == {"scheduled"}
    shown = cli("jobs", "show", rows[2]["id"], "--json").row
    assert (shown["data"], shown["priority"]) == ({"n": "u3"}, 3)


def test_many_copies_leave_in_batches(cli: Cli) -> None:
    answer = cli("enqueue", "--type", "x.y", "--count", 5000)
    assert "… 5,000 jobs in all" in answer.out
    assert count(cli) == 5000


def test_the_same_job_again_exists_and_other_data_is_a_conflict(cli: Cli) -> None:
    cli("enqueue", "-", stdin=line(id="a"))
    again = cli("enqueue", "-", "--json", stdin=line(id="a")).row
    assert again["exists"] is True
    answer = cli("enqueue", "-", stdin=line(id="b") + line(id="a", data={"x": 1}), code=2)
    assert "standard input:2: id 'a' belongs to another job" in answer.err
    assert count(cli) == 1


def test_the_same_id_twice_in_one_input_is_a_conflict(cli: Cli) -> None:
    answer = cli("enqueue", "-", stdin=line(id="a") + line(id="a", data=[1]), code=2)
    assert "occurs twice" in answer.err


def test_raw_bytes_become_a_dead_letter_and_are_kept(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"\xff not a job")
    row = cli("enqueue", "--raw", "--type", "x.y", file, "--json", code=3).row
    assert row["state"] == "dead"
    shown = cli("jobs", "show", row["id"], "--json").row
    assert shown["reason"] == "malformed"
    assert shown["raw"]["length"] == 11


def test_a_misspelt_field_is_refused_from_a_file_and_a_dead_letter_from_a_push(
    cli: Cli, tmp_path: Path
) -> None:
    file = tmp_path / "job.json"
    file.write_text('{"type": "crew.notify", "data": {"case_id": 7},\n "prioriy": 1}')
    told = cli("enqueue", file, code=2).err
    assert f"{file}:2: unknown field 'prioriy'; did you mean priority?" in told
    assert f"{file}:1: data.case_id: " in told
    file.write_text('{"data": {"case_id": "c"}, "prioriy": 1}')
    row = cli("enqueue", file, "--raw", "--type", "crew.notify", "--json", code=3).row
    dead = cli("jobs", "show", row["id"], "--json").row
    assert (dead["state"], dead["reason"]) == ("dead", "malformed")
    assert "did you mean priority?" in dead["detail"]


def test_an_option_of_python_or_the_command_line_in_a_job_is_refused_or_a_dead_letter(
    cli: Cli,
) -> None:
    told = cli(
        "enqueue",
        "-",
        code=2,
        stdin='{"type": "crew.notify", "data": {"case_id": "c"}, "delay": 3600}',
    ).err
    assert "standard input:1: unknown field 'delay': write not_before" in told
    pushed = '{"data": {"case_id": "c"}, "delay": 3600}'
    arguments = ("enqueue", "-", "--raw", "--type", "crew.notify", "--json")
    row = cli(*arguments, stdin=pushed, code=3).row
    dead = cli("jobs", "show", row["id"], "--json").row
    assert (dead["state"], dead["reason"]) == ("dead", "malformed")
    assert "unknown field 'delay': write not_before" in dead["detail"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "requires FILE"),
        (["--type", "x", "--delay", "soon"], "a duration such as 90s"),
        (["--type", "x", "--at", "2026-01-01"], "time zone"),
        (["--type", "x", "--delay", "1s", "--at", "2026-01-01T00:00:00Z"], "one of them"),
        (["--type", "x", "--set", "nothing"], "path=value"),
        (["--type", "x", "--timeout", "1"], "--wait"),
        (["--raw", "f"], "--raw requires --type"),
        (["--type", "x", "--count", "0"], "count"),
    ],
)
def test_wrong_options_are_bad_usage(cli: Cli, arguments: list[str], message: str) -> None:
    assert message in cli("enqueue", *arguments, code=2).err


def test_waiting_says_at_once_that_no_worker_serves_the_type(cli: Cli) -> None:
    waits = ("--set", "case_id=c", "--wait", "--timeout", "0.05", "--no-check")
    told = cli("enqueue", "--type", "crew.notify", *waits, code=4).err
    first, *_ = told.splitlines()
    assert first == (
        "no live worker serves crew.notify: no worker is alive; start one with hms-svc serve"
    )
    cli("queues", "pause", "crew.notify", "--reason", "storm")
    told = cli("enqueue", "--type", "crew.notify", *waits, code=4).err
    assert told.startswith("Queue crew.notify was paused by tester (storm)")
    told = cli("enqueue", "--type", "pothole.rport", "--wait", "--timeout", "0.05", code=4).err
    assert (
        "no live worker serves pothole.rport: no worker is alive; did you mean pothole.report?"
        in told
    )


def test_a_type_that_nobody_knows_is_queued_with_a_warning(cli: Cli, tmp_path: Path) -> None:
    told = cli("enqueue", "--type", "pothole.rport")
    assert told.err == ("warning: no worker serves 'pothole.rport'; did you mean pothole.report?\n")
    assert "queued" in told.out
    bytes_of_one = tmp_path / "job.json"
    bytes_of_one.write_text(line("x.y"))
    told = cli("enqueue", "--raw", "--type", "x.y", bytes_of_one)
    assert told.err == "warning: no worker serves 'x.y'\n"
    assert cli("enqueue", SAMPLES / "pothole.json").err == ""


def test_waiting_in_vain_ends_with_4(cli: Cli) -> None:
    answer = cli("enqueue", "--type", "x.y", "--wait", "--timeout", "0.05", "--json", code=4)
    assert answer.row["state"] == "queued"
    assert answer.row["latency_ms"] is None
    assert "timed out: 1 of 1" in answer.err


def test_a_job_refused_on_submission_ends_the_wait_with_3(cli: Cli) -> None:
    stdin = line(unique_key="k")
    cli("enqueue", "-", stdin=stdin)
    answer = cli("enqueue", "-", "--wait", "--json", stdin=stdin, code=3)
    assert (answer.row["state"], answer.row["reason"]) == ("rejected", "unique")


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_job_refused_for_its_unique_key_is_3_and_says_why(
    cli: Cli, options: tuple[str, ...]
) -> None:
    stdin = line(unique_key="k", id="first")
    cli("enqueue", "-", stdin=stdin)
    assert cli("enqueue", "-", stdin=stdin).code == 0
    stdin = line(unique_key="k", id="second") + line(id="third")
    answer = cli("enqueue", "-", *options, stdin=stdin, code=3)
    assert "rejected" in answer.out
    assert "second is rejected, unique: unique key 'k' is held by job first" in answer.err
    assert count(cli) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("enqueue", "--type", "x.y", "--at", "9999-12-31T23:59:59-23:59"),
        ("enqueue", "--type", "x.y", "--at", "2026-W01-1T00:00:00Z"),
        ("enqueue", "--type", "x.y", "--delay", "2920000d"),
        ("enqueue", "--type", "x.y", "--delay", "999999999999w"),
        ("tokens", "create", "portal", "--scope", "view", "--expires", "2920000d"),
        ("events", "--from", "9001-01-01T00:00:00Z"),
        ("events", "--from", "9" * 30),
        ("jobs", "list", "--where", "age>999999999999w"),
    ],
)
def test_times_without_end_are_refused(cli: Cli, arguments: tuple[str, ...]) -> None:
    cli(*arguments, code=2)
