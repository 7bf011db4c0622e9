"""`queues show`: all that is known of a type."""

from __future__ import annotations

from pathlib import Path

from tests.support.command_line import Cli

City = tuple[Cli, Path]


def test_a_type_is_shown_with_all_that_is_known_of_it(city: City) -> None:
    cli, _ = city
    shown = cli("queues", "show", "pothole.report", "--json").row
    assert shown["settings"]["handler"].startswith("hms_svc/services/pothole_report.py:")
    assert shown["settings"]["payload"] == "PotholeReport"
    assert sum(group["count"] for group in shown["failures"]) == shown["dead"] + shown["rejected"]
    assert shown["duration_ms"]["jobs"] == shown["completed"] == 1
    assert shown["why"] == cli("queues", "why", "pothole.report", "--json").row["why"]
    assert {job["state"] for job in shown["newest"]} == {"completed", "rejected", "dead"}
    told = cli("queues", "show", "pothole.report").out
    for words in (
        "no worker serves it",
        "up to 2 s, doubled each time",
        "duplicate",
        "newest results",
    ):
        assert words in told
    assert "no queue 'x.y'" in cli("queues", "show", "x.y", code=2).err


def test_a_type_that_only_others_have_code_for_says_so(cli: Cli) -> None:
    cli("enqueue", "--type", "x.y")
    cli("queues", "pause", "x.y", "--reason", "strike")
    shown = cli("queues", "show", "x.y", "--json").row
    assert (shown["settings"], shown["pause_reason"]) == (None, "strike")
    assert shown["paused_at"].startswith("20")
    assert "this program has no code for the type" in cli("queues", "show", "x.y").out
