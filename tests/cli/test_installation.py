"""How the program is set, what it says of itself, and how it fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hms_svc.cli.catalogue import COMMANDS, GROUPS, build
from hms_svc.cli.root import exit_code
from hms_svc.domain import errors
from tests.support.command_line import ROOT, Cli, environment


def test_alone_it_names_serve(cli: Cli) -> None:
    answer = cli(code=2)
    assert "hms-svc serve" in answer.err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(cli: Cli, name: str) -> None:
    assert "Usage" in cli(name, "--help").out
    if name in GROUPS:
        for command in build(name).commands:
            assert "Usage" in cli(name, command, "--help").out


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["jobs"], ["jobs", "nothing"], ["status", "--nothing"]]
)
def test_bad_usage_is_2(cli: Cli, arguments: list[str]) -> None:
    cli(*arguments, code=2)


def test_config_tells_origins_and_masks_secrets(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMS_SVC_WEBHOOK_SECRET", "open sesame")
    monkeypatch.setenv("HMS_SVC_DATABASE_URL", "postgresql://ada:hush@host/city")
    answer = cli("--namespace", "city-1", "config", "--json")
    rows = {row["setting"]: row for row in answer.rows}
    assert rows["namespace"] == {"setting": "namespace", "value": "city-1", "source": "option"}
    assert rows["webhook_secret"]["value"] == "***"
    assert rows["database_url"]["value"] == "postgresql://ada:***@host/city"
    assert rows["actor"]["source"] == "environment HMS_SVC_ACTOR"
    assert "open sesame" not in cli("config").out


def test_an_unknown_variable_is_a_warning(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMS_SVC_LEESE_SECONDS", "3")
    assert "did you mean HMS_SVC_LEASE_SECONDS?" in cli("config").err


@pytest.mark.parametrize(
    ("variable", "value", "code"),
    [
        ("HMS_SVC_LEASE_SECONDS", "soon", 2),
        ("HMS_SVC_BROKER_URL", "redis://host/not-a-number", 2),
        ("HMS_SVC_BROKER_URL", "redis://127.0.0.1:1/0?foo=bar", 2),
        ("HMS_SVC_BROKER_URL", "redis+sentinel://127.0.0.1:1/city", 5),
        ("HMS_SVC_BROKER_URL", "redis://127.0.0.1:1/0", 5),
        ("HMS_SVC_BROKER_URL", "sqlite:////proc/nowhere/queue.db", 5),
    ],
)
def test_settings_that_cannot_work_end_with_their_code(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, code: int
) -> None:
    monkeypatch.setenv(variable, value)
    answer = cli("status", code=code)
    assert answer.err.startswith("hms-svc: ")
    assert "Traceback" not in answer.err


def test_a_policy_that_does_not_parse_is_an_error_of_the_doctor(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[[rule]]\nid = \n")
    monkeypatch.setenv("HMS_SVC_POLICY_FILE", str(policy))
    findings = cli("doctor", "--json", code=1).rows
    assert [each["check"] for each in findings if each["level"] == "error"] == ["policy"]


def test_the_doctor_tells_what_the_agencies_file_says(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "agencies.toml"
    file.write_text('[[sender]]\nname = "a2a"\nsource = "*"\n')
    monkeypatch.setenv("HMS_SVC_AGENCIES_FILE", str(file))
    assert f"agencies: {file} is in use: senders 1, receivers 0" in cli("doctor").out
    file.write_text("[[sender]]\n")
    [bad] = [each for each in cli("doctor", "--json", code=1).rows if each["level"] == "error"]
    assert bad["text"].startswith(f"{file}: sender 1: name is missing")


def test_the_doctor_and_status_say_the_same_of_a_queue_file_that_is_none(
    cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "data" / "queue.db").mkdir(parents=True)
    [bad] = [each for each in cli("doctor", "--json", code=1).rows if each["level"] == "error"]
    assert bad["text"].endswith("queue.db cannot be read: unable to open database file")
    assert "queue.db: unable to open database file" in cli("status", code=5).err


def test_a_folder_that_cannot_be_is_an_error_of_the_doctor(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    answer = cli("--data-dir", file, "doctor", "--json", code=1)
    assert f"{file} is not a directory" in answer.out


def test_migrate_tells_the_version(cli: Cli) -> None:
    assert cli("db", "migrate", "--json").row["version"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.BadInput("x"), 2),
        (errors.UnknownId("x"), 2),
        (errors.BadSetting("x"), 2),
        (errors.BrokerUnavailable("x"), 5),
        (errors.DatabaseUnavailable("x"), 5),
        (errors.Refused("x"), 6),
        (errors.DuplicateCase("x", case_id="c"), 6),
        (errors.SchemaMismatch("x"), 1),
    ],
)
def test_exit_codes(error: errors.HmsError, code: int) -> None:
    assert exit_code(error) == code


def test_hostile_text_reaches_no_terminal(cli: Cli) -> None:
    hostile = '{"type":"x.y","data":{"a":"\\u001b]0;t\\u0007 \\u202e \\u009b [red]b[/red]"}}'
    job = cli("enqueue", "-", "--json", stdin=hostile).row["id"]
    for arguments in (["jobs", "show", job], ["jobs", "show", job, "--json"], ["jobs", "list"]):
        out = cli(*arguments).out
        assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(out)
    assert "[red]b[/red]" in cli("jobs", "show", job).out


def _imports_of(tmp_path: Path, *arguments: str) -> set[str]:
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('\\n'.join(sys.modules), file=sys.stderr))\n"
        "from hms_svc.cli import main\n"
        f"sys.argv = ['hms-svc', *{list(arguments)!r}]\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(ended.stderr.split())


def test_enqueue_and_help_import_late(tmp_path: Path) -> None:
    heavy = {"textual", "sqlalchemy", "alembic", "httpx", "cel", "fastapi", "redis", "rich"}
    sample = str(ROOT / "sample_jobs" / "pothole.json")
    assert not heavy & _imports_of(tmp_path, "enqueue", sample)
    assert not (heavy | {"pydantic", "asyncio", "msgspec"}) & _imports_of(tmp_path, "--help")


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", "hms_svc", "config", "--json"],
        env={**os.environ, **environment(tmp_path), "PYTHONPATH": str(ROOT)},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let children hear SIGINT also where this run was started in the background, deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_ends_with_130(tmp_path: Path, interruptible: None) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "hms_svc", "status", "--watch", "--json"],
        env={**os.environ, **environment(tmp_path), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=60)
    assert (process.returncode, complaints) == (130, b"")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("PLACES_FILE", "✗ places: places_file "),
        ("AGENCIES_FILE", "✗ agencies: "),
        ("POLICY_FILE", "✗ policy: "),
        ("HTTP_TLS_CERTIFICATE", "✗ http: http_tls_certificate "),
        ("HTTP_TLS_KEY", "✗ http: http_tls_key "),
    ],
)
def test_a_file_that_a_setting_names_and_that_cannot_be_used_is_told_by_the_doctor(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, told: str
) -> None:
    file = tmp_path / "broken"
    file.write_text("{[")
    monkeypatch.setenv(f"HMS_SVC_{setting}", str(file))
    out = cli("doctor", code=1).out
    assert told in out
    assert str(file) in out


def test_a_places_file_in_force_is_told_by_the_doctor(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "places.geojson"
    file.write_text('{"type":"FeatureCollection","features":[]}')
    monkeypatch.setenv("HMS_SVC_PLACES_FILE", str(file))
    assert f"✓ places: {file} is in use: places 0" in cli("doctor").out
