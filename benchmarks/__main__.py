"""Run all measurements, or those that are named, and print their tables."""

from __future__ import annotations

import argparse
import typing
from importlib import import_module

from benchmarks.engines import Appendonly, Plan, read_engines
from benchmarks.figures import table
from benchmarks.machine import describe
from benchmarks.rounds import disturbances

ALL = (
    "drain",
    "enqueue",
    "pothole",
    "syncs",
    "latency",
    "commands",
    "constants",
    "exchanges",
    "steps",
    "backlog",
    "beside",
    "console",
    "http_posts",
    "peers",
)


def main() -> None:
    """Read the command line, and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ALL)}; all")
    parser.add_argument(
        "--backend", default="sqlite", help="sqlite, redis, redis+postgres (sqlite)"
    )
    parser.add_argument(
        "--aof", default="no", choices=typing.get_args(Appendonly), help="appendfsync of Redis (no)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each measurement (3)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the jobs (1.0)")
    chosen = parser.parse_args()
    for name in chosen.names:
        if name not in ALL:
            parser.error(f"{name!r} is none of {', '.join(ALL)}")
    plan = Plan(read_engines(chosen.backend, chosen.aof), chosen.rounds, chosen.scale)
    print(f"{describe(plan.engines)}\non {plan.engines}", flush=True)
    for name in chosen.names or ALL:
        module = import_module(f"benchmarks.{name}")
        figures = module.run(plan)
        if figures:
            print(f"\n{name}: {(module.__doc__ or name).splitlines()[0]}\n")
            print(table(figures), flush=True)
    print(f"\n{disturbances()}")


if __name__ == "__main__":
    main()
