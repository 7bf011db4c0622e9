"""The simulated fleet of the sizing page keeps to what its parts can do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.sizing import BUSY, Costs, plan, simulate


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
    page = (Path(__file__).parents[2] / "docs" / "sizing.md").read_text(encoding="utf-8")
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
