"""The simulated fleet of the sizing page keeps to what its parts can do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.sizing import BUSY, NOOP, REPORT, Costs, plan, shown, simulate, space

PAGE = Path(__file__).parents[2] / "docs" / "sizing.md"


@pytest.mark.parametrize("workers", [1, 2, 8, 32])
@pytest.mark.parametrize("servers", [1, 4])
def test_no_part_does_more_than_it_can(workers: int, servers: int) -> None:
    costs = Costs(worker_us=30.0, redis_us=25.0)
    load = simulate(workers, servers, costs)
    assert load.worker_share <= 1.01
    assert load.redis_share <= 1.01
    assert load.jobs_per_second <= 1.02 * min(workers * 1e6 / 30, servers * 1e6 / 25)


def test_few_workers_are_the_limit_and_many_fill_their_redis() -> None:
    costs = Costs(worker_us=100.0, redis_us=20.0)
    one, two, many = (simulate(workers, 1, costs) for workers in (1, 2, 40))
    assert one.worker_share > 0.9
    assert two.jobs_per_second == pytest.approx(2 * one.jobs_per_second, rel=0.05)
    assert many.redis_share > 0.95
    assert many.jobs_per_second < 1e6 / 20


def test_a_second_server_doubles_what_full_ones_do() -> None:
    costs = Costs(worker_us=30.0, redis_us=25.0)
    one, two = (simulate(32, servers, costs).jobs_per_second for servers in (1, 2))
    assert two == pytest.approx(2 * one, rel=0.05)


def test_the_page_has_the_rows_that_its_command_prints() -> None:
    page = PAGE.read_text(encoding="utf-8")
    given = re.search(r"benchmarks\.sizing --worker-us ([\d.]+) --redis-us ([\d.]+)", page)
    assert given is not None
    costs = Costs(float(given[1]), float(given[2]))
    rows = re.findall(r"^\| (\d+) \| (\d+) \| ([\d,]+) \| (\d+%) \| (\d+%) \|$", page, re.MULTILINE)
    assert len(rows) == 5
    for workers, servers, *printed in rows:
        load = simulate(int(workers), int(servers), costs)
        shares = (load.worker_share, load.redis_share)
        assert printed == [f"{load.jobs_per_second:,.0f}", *(f"{share:.0%}" for share in shares)]


def test_a_plan_leaves_a_part_of_each_core_free() -> None:
    costs = Costs(worker_us=400.0, redis_us=30.0, postgres_us=200.0)
    needed = plan(10_000, costs)
    assert needed.worker_cores * BUSY >= 10_000 * 400e-6
    assert (needed.redis_servers, needed.postgres_cores) == (1, 3)


def rows_of_page() -> dict[str, list[str]]:
    """Return the cells of each row of the page's tables by its first cell."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    return {row[0]: row[1:] for row in rows}


def test_the_bytes_of_a_job_are_those_of_the_page() -> None:
    rows = rows_of_page()
    for number, sizes in enumerate((NOOP, REPORT)):
        shown_bytes = [
            float(rows[name][number].replace(",", "") or 0)
            for name in (
                "Redis, while it waits",
                "Redis, completed, until retention removes it",
                "SQLite queue file, completed",
                "PostgreSQL, for its case, effect, event and audit rows",
                "SQLite case file",
            )
        ]
        assert shown_bytes == list(sizes[:5])


def test_the_space_of_the_examples_follows_from_the_bytes_of_a_job() -> None:
    rows = rows_of_page()
    servers = [int(each) for each in rows["Redis servers"]]
    for number, (jobs, share) in enumerate(((20_000, 1.0), (20e6, 0.25), (1e9, 0.01))):
        needed = space(jobs, NOOP.mixed(REPORT, share), servers[number])
        assert [
            rows[name][number] for name in rows if name.startswith(("memory of R", "and for"))
        ] == [
            shown(needed.redis_completed),
            shown(needed.redis_hour),
        ]
        assert rows["disk of PostgreSQL, a day"][number] == shown(needed.postgres_day)
        assert rows["disk of PostgreSQL, a year"][number] == shown(365 * needed.postgres_day)
        if number == 0:
            assert rows["or disk of the SQLite files, a year"][0] == shown(needed.sqlite_year)


def test_each_redis_keeps_completed_jobs_up_to_its_own_limit() -> None:
    few, one, two = (
        space(jobs, NOOP, servers) for jobs, servers in ((1_000, 1), (1e9, 1), (1e9, 2))
    )
    assert few.redis_completed == 7 * 1_000 * 865 * 1.5
    assert (one.redis_completed, two.redis_completed) == (100_000 * 865 * 1.5, 200_000 * 865 * 1.5)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (9_960, "10 kB"),
        (999_600, "1.0 MB"),
        (12e15, "12000 TB"),
    ],
)
def test_bytes_are_shown_in_their_unit(size: float, text: str) -> None:
    assert shown(size) == text
