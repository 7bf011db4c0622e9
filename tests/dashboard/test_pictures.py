"""Every screen compared with its picture in docs/pictures."""

from __future__ import annotations

import msgspec
import pytest

from hms_svc.ports.inspection import BrokerHealth
from hms_svc.tui.dialogs.message import Message
from tests.dashboard.city import EMPTY, PICTURE, health_of
from tests.dashboard.stills import FACTS, Still, check_picture, keys

SIZES = {"80x24": (80, 24), "120x40": (120, 40), "200x60": (200, 60)}


@pytest.mark.parametrize("size", SIZES)
async def test_overview_at_every_size(size: str) -> None:
    console = Still(PICTURE)
    async with console.run_test(size=SIZES[size]) as pilot:
        await keys(pilot)
        check_picture(console, f"overview-{size}")


@pytest.mark.parametrize("theme", ["light", "contrast"])
async def test_overview_in_every_theme(theme: str) -> None:
    console = Still(PICTURE, theme=theme)
    async with console.run_test(size=SIZES["120x40"]) as pilot:
        await keys(pilot)
        check_picture(console, f"overview-{theme}")


async def test_overview_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console = Still(PICTURE)
    async with console.run_test(size=SIZES["80x24"]) as pilot:
        await keys(pilot)
        check_picture(console, "overview-no-color")


async def test_overview_of_production_that_is_stale() -> None:
    facts = msgspec.structs.replace(FACTS, profile="city hall", production=True, read_only=True)
    trouble = "redis://city: Connection refused"
    down = BrokerHealth("redis", False, 0.0, (trouble,))
    snapshot = msgspec.structs.replace(
        PICTURE, at=PICTURE.at - 73_000, trouble=trouble, broker=down, health=health_of(down)
    )
    console = Still(snapshot, facts=facts)
    async with console.run_test(size=SIZES["120x40"]) as pilot:
        await keys(pilot)
        check_picture(console, "overview-stale")


async def test_overview_with_nothing_in_it() -> None:
    console = Still(EMPTY)
    async with console.run_test(size=SIZES["80x24"]) as pilot:
        await keys(pilot)
        check_picture(console, "overview-empty")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("2", "jobs"),
        ("3", "failures"),
        ("4", "held"),
        ("5", "workers"),
        ("6", "cases"),
        ("7", "events"),
        ("8", "schedules"),
        ("9", "audit"),
    ],
)
async def test_every_other_screen(key: str, name: str) -> None:
    console = Still(PICTURE)
    async with console.run_test(size=SIZES["120x40"]) as pilot:
        await keys(pilot, key)
        check_picture(console, name)


async def test_one_job_page() -> None:
    console = Still(PICTURE)
    async with console.run_test(size=SIZES["120x40"]) as pilot:
        await keys(pilot, "2", "end", "i")
        check_picture(console, "inspect")


async def test_one_type_page() -> None:
    console = Still(PICTURE)
    async with console.run_test(size=SIZES["120x40"]) as pilot:
        await keys(pilot, "down", "i")
        check_picture(console, "type")


async def test_help_over_a_screen() -> None:
    console = Still(PICTURE)
    async with console.run_test(size=SIZES["120x40"]) as pilot:
        await keys(pilot, "question_mark")
        while not (isinstance(console.screen, Message) and console.screen.focused):
            await pilot.pause()
        await pilot.pause()
        check_picture(console, "help")
