"""`--read-only`: every command that changes something is refused, and a new one is sorted here first."""

from __future__ import annotations

from pathlib import Path

import pytest

from hms_svc.cli.catalogue import COMMANDS, GROUPS, build
from hms_svc.operations.action_table import ACTIONS
from tests.support.command_line import SAMPLES, Cli

WRITING = (
    ("enqueue", SAMPLES / "pothole.json"),
    ("run", SAMPLES / "pothole.json"),
    ("serve", "--drain", "--no-http"),
    ("demo", "--headless", "--seconds", "0.1"),
    ("bench", "--seconds", "5"),
    ("db", "migrate"),
    ("db", "backup", "copies"),
    ("events", "--group", "readers"),
    ("tokens", "create", "x", "--scope", "view"),
    ("tokens", "revoke", "x"),
    ("queues", "pause", "pothole.report"),
    ("queues", "resume", "pothole.report"),
    ("queues", "purge", "pothole.report", "--yes"),
    ("jobs", "undo"),
    ("audit", "accept", "--reason", "x"),
)
READING = frozenset(
    {
        "status",
        "workers list",
        "doctor",
        "config",
        "queues list",
        "queues show",
        "queues why",
        "events",
        "jobs list",
        "jobs groups",
        "jobs show",
        "jobs why",
        "batches list",
        "batches show",
        "cases list",
        "cases show",
        "audit list",
        "audit verify",
        "tokens list",
        "schedules list",
    }
)
ELSEWHERE = frozenset(
    {
        "jobs retry",
        "jobs discard",
        "jobs cancel",
        "jobs approve",
        "jobs deny",
        "jobs edit",
        "jobs erase",
        "batches close",
        "cases close",
        "cases reopen",
        "schedules pause",
        "schedules resume",
        "schedules run",
        "workers quiet",
        "workers resume",
        "workers stop",
    }
)
"""Commands that change one thing that must be there: refused in tests of their own."""


@pytest.mark.parametrize("words", WRITING, ids=lambda words: " ".join(map(str, words[:2])))
def test_read_only_refuses_what_changes_anything(cli: Cli, words: tuple[object, ...]) -> None:
    assert "read-only" in cli("--read-only", *words, code=6).err


def test_a_backup_that_read_only_refuses_leaves_no_directory(cli: Cli, tmp_path: Path) -> None:
    cli("--read-only", "db", "backup", tmp_path / "copies", code=6)
    assert not (tmp_path / "copies").exists()


def test_every_command_is_known_to_read_or_is_refused_in_read_only_mode() -> None:
    refused = {name for words in WRITING for name in (f"{words[0]} {words[1]}", str(words[0]))}
    for name in COMMANDS:
        nested = build(name).commands if name in GROUPS else ()
        for full in [f"{name} {each}" for each in nested] or [name]:
            assert full in READING | ELSEWHERE or full in refused, full


def test_every_action_of_an_operator_has_a_command_that_changes_something() -> None:
    nested = {f"{name} {each}" for name in GROUPS for each in build(name).commands}
    commands = {each.command for each in ACTIONS}
    assert commands <= {*nested, *COMMANDS} - READING
