"""Fail where a Markdown file links to a file, or to a heading, that is not there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


def markdown_files() -> list[Path]:
    listed = subprocess.check_output(["git", "ls-files", "-z", "*.md"], cwd=ROOT, text=True)
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@cache
def anchors(path: Path) -> frozenset[str]:
    """Return the anchors of the headings of a file, as forges make them."""
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for heading in HEADING.findall(text):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = 0
        while (name := f"{anchor}-{number}" if number else anchor) in found:
            number += 1
        found.add(name)
    return frozenset(found)


def faults(path: Path) -> Iterator[str]:
    text = CODE.sub("", FENCED.sub("", path.read_text(encoding="utf-8")))
    for link in LINK.findall(text):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists():
            yield f"{link}: no such file"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            yield f"{link}: no such heading in {target.relative_to(ROOT)}"


def main() -> int:
    found = [(path, fault) for path in markdown_files() for fault in faults(path)]
    for path, fault in found:
        print(f"{path.relative_to(ROOT)}: {fault}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
