from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.text import Cell, Column, cell, fit, fit_columns, fit_end, line, wrap

COLUMNS = (
    Column(title="name", width=10, grow=1),
    Column(title="count", width=5, align="right"),
    Column(title="last", width=8, drop=1),
    Column(title="more", width=8, drop=2),
)


def test_columns_are_dropped_by_their_drop_and_the_rest_grows() -> None:
    assert fit_columns(COLUMNS, 40) == [(0, 16), (1, 5), (2, 8), (3, 8)]
    assert fit_columns(COLUMNS, 30) == [(0, 15), (1, 5), (2, 8)]
    assert fit_columns(COLUMNS, 20) == [(0, 14), (1, 5)]


def test_text_is_cut_in_cells_not_characters() -> None:
    assert fit("漢字漢字", 5) == "漢字…"
    assert cell_len(fit("漢字漢字", 6)) == 6
    assert fit("12", 5, "right") == "   12"
    assert fit_end("0123456789", 5) == "…6789"


def test_a_cell_shows_what_would_move_the_cursor() -> None:
    assert cell("a\x1b[2Jb\u202e") == Cell("a␛[2Jb<U+202E>")


@given(st.lists(st.text(max_size=60), max_size=4), st.integers(1, 40))
def test_wrapping_loses_no_word_and_fits(parts: list[str], width: int) -> None:
    whole = line(*parts)
    pieces = wrap([whole], width)
    assert all(sum(cell_len(part.text) for part in piece) <= max(width, 10) for piece in pieces)
    told = "".join(part.text for part in whole).replace(" ", "")
    assert "".join(part.text for piece in pieces for part in piece).replace(" ", "") == told
