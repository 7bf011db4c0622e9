"""The sanitiser: nothing that a terminal would obey, or that a reader would not see, gets through."""

from __future__ import annotations

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from hms_svc.domain.plain_text import plain, plain_json, plain_lines, plural, shorten


def test_makes_controls_visible() -> None:
    hostile = "\x1b[2J\x07 \x7f \x9b31m \u202eabc\u200b \ufeff \ud800 a\nb"
    assert plain(hostile) == ("␛[2J␇ ␡ <U+009B>31m <U+202E>abc<U+200B> <U+FEFF> <U+D800> a␊b")


def test_a_number_and_its_noun_agree() -> None:
    told = [plural(number, "job") for number in (0, 1, 1200)]
    assert told == ["0 jobs", "1 job", "1,200 jobs"]


def test_lines_stay_lines() -> None:
    assert plain_lines("a\r\nb\tc\rd") == "a\nb    c␍d"


@given(st.text())
def test_nothing_harmful_is_left(text: str) -> None:
    for character in plain(text):
        assert unicodedata.category(character) not in {"Cc", "Cs"}
        assert unicodedata.bidirectional(character) not in {
            "LRE",
            "RLE",
            "LRO",
            "RLO",
            "PDF",
            "LRI",
            "RLI",
            "FSI",
            "PDI",
        }


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_keeps_its_meaning(text: str) -> None:
    written = plain_json(json.dumps({"a": text}, ensure_ascii=False))
    assert json.loads(written) == {"a": text}
    assert plain(written) == written


def test_shorten_says_that_something_is_missing() -> None:
    assert shorten("abcdef", 4) == "abc…"
    assert shorten("abc", 3) == "abc"
