"""How the pages are written: one sentence a line, and a glossary that can be read at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *(
        ROOT / folder / "README.md"
        for folder in ("client", "deploy", "examples/permits", "sample_jobs")
    ),
)
SECOND = re.compile(r"[A-Za-z)\]\"*]\.\*{0,2} +(?=[A-Z`\[*(])")
MOST_TERMS = 30


def prose(page: Path) -> list[str]:
    """The lines of a page without tables, headings and code."""
    lines = []
    is_code = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code and not line.lstrip().startswith(("|", "#", "![")):
            lines.append(line)
    return lines


def begins_two_sentences(line: str) -> bool:
    plain = re.sub(r"^\s*(\d+\.|-)\s+", "", line)
    plain = re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "X", plain))
    return SECOND.search(plain) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_line_has_one_sentence(page: Path) -> None:
    assert [line for line in prose(page) if begins_two_sentences(line)] == []


def test_two_sentences_on_a_line_are_seen() -> None:
    assert begins_two_sentences("- **Order.** Start the workers.")
    assert begins_two_sentences("It runs `serve`. Then it ends.")
    assert begins_two_sentences("It is JSON. It is read later.")
    assert not begins_two_sentences("1. It runs `a.b`, e.g. twice.")


def test_the_glossary_has_at_most_thirty_terms() -> None:
    rows = [
        line.split("|")[1].strip()
        for line in (ROOT / "docs/glossary.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ][2:]
    assert 0 < len(rows) <= MOST_TERMS
    assert rows == sorted(rows)
