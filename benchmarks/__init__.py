"""Measurements of this machine: `python -m benchmarks`, or some of them by name. Linux only."""
