"""Run all measurements, or those that are named, and print their tables."""

from __future__ import annotations

import argparse
from importlib import import_module

from benchmarks.figures import table
from benchmarks.machine import describe

ALL = ("drain", "pothole", "syncs", "latency", "commands", "peers")


def main() -> None:
    """Read the command line, and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ALL)}; all")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each measurement (3)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the jobs (1.0)")
    chosen = parser.parse_args()
    for name in chosen.names:
        if name not in ALL:
            parser.error(f"{name!r} is none of {', '.join(ALL)}")
    print(describe(), flush=True)
    for name in chosen.names or ALL:
        module = import_module(f"benchmarks.{name}")
        figures = module.run(chosen.rounds, chosen.scale)
        print(f"\n{name}: {module.__doc__}\n")
        print(table(figures), flush=True)


if __name__ == "__main__":
    main()
