"""Fail where a source file has grown past what one person keeps in mind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

LIMIT = 400
ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("hms_svc", "tui", "tools", "benchmarks", "examples")
SUFFIXES = frozenset({".py", ".lua", ".sql", ".tcss", ".sh"})


def source_files() -> Iterator[Path]:
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file():
                yield path


def main() -> int:
    fault = False
    for path in source_files():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > LIMIT:
            fault = True
            print(f"{path.relative_to(ROOT)}: {lines} lines; the limit is {LIMIT}: split it")
    return int(fault)


if __name__ == "__main__":
    sys.exit(main())
