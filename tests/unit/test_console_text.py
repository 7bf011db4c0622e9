from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from hms_svc.tui.table import TableView, fit_columns, matching, sort_rows
from hms_svc.tui.text import Cell, Column, Row, cell, fit, fit_end, line, wrap

COLUMNS = (
    Column(title="name", width=10, grow=1),
    Column(title="count", width=5, align="right"),
    Column(title="last", width=8, drop=1),
    Column(title="more", width=8, drop=2),
)


def test_columns_are_dropped_in_order_and_the_rest_grow() -> None:
    assert fit_columns(COLUMNS, 40) == [(0, 16), (1, 5), (2, 8), (3, 8)]
    assert fit_columns(COLUMNS, 30) == [(0, 15), (1, 5), (2, 8)]
    assert fit_columns(COLUMNS, 20) == [(0, 14), (1, 5)]


def widths(needs: tuple[int, ...], width: int, view: TableView | None = None) -> dict[str, int]:
    fitted = fit_columns(COLUMNS, width, needs=needs, view=view)
    return {COLUMNS[index].name: available for index, available in fitted}


def test_no_text_is_cut_while_there_is_space_beside_it() -> None:
    assert widths((30, 5, 8, 20), 80) == {"name": 44, "count": 5, "last": 8, "more": 20}
    assert widths((30, 5, 12, 8), 60) == {"name": 32, "count": 5, "last": 12, "more": 8}


def test_an_empty_column_is_left_out_unless_all_are_empty() -> None:
    assert list(widths((10, 5, 0, 8), 60)) == ["name", "count", "more"]
    assert list(widths((0, 0, 0, 0), 60)) == ["name", "count", "last", "more"]


def test_a_view_hides_columns_and_sets_widths() -> None:
    view = TableView(hidden=("last",), widths={"count": 12})
    assert widths((10, 5, 8, 8), 60, view) == {"name": 38, "count": 12, "more": 8}


def rows(*shown: tuple[str, float | None, str]) -> list[Row]:
    """Make rows of a name, a rank, and the name of the row that each belongs to."""
    return [
        Row(key=name, cells=(cell(name), cell("" if rank is None else "x", rank=rank)), under=under)
        for name, rank, under in shown
    ]


def test_rows_are_sorted_by_rank_below_their_heads_with_empty_ones_last() -> None:
    given = rows(("b", 9.0, ""), ("b1", 1.0, "b"), ("none", None, ""), ("a", 10.0, ""))
    assert [row.key for row in sort_rows(given, 1, is_reversed=False)] == ["b", "b1", "a", "none"]
    assert [row.key for row in sort_rows(given, 1, is_reversed=True)] == ["a", "b", "b1", "none"]
    assert [row.key for row in sort_rows(given, 0, is_reversed=False)] == ["a", "b", "b1", "none"]


def test_a_row_filter_keeps_the_heads_of_matching_rows() -> None:
    given = rows(("Crew", 1.0, ""), ("job-1", 1.0, "Crew"), ("other", 2.0, ""))
    columns = (Column(title="name", width=5), Column(title="count", width=5))

    def found(row_filter: str) -> list[str]:
        return [row.key for row in matching(given, columns, row_filter)]

    assert found("JOB") == ["Crew", "job-1"]
    assert found("-job -crew") == ["other"]
    assert found("name:x") == []
    assert found("count:x o") == ["Crew", "job-1", "other"]


def test_text_is_cut_in_cells_not_characters() -> None:
    assert fit("漢字漢字", 5) == "漢字…"
    assert cell_len(fit("漢字漢字", 6)) == 6
    assert fit("12", 5, "right") == "   12"
    assert fit_end("0123456789", 5) == "…6789"


def test_a_cell_shows_control_characters_as_signs() -> None:
    assert cell("a\x1b[2Jb\u202e") == Cell("a␛[2Jb<U+202E>")


@given(st.lists(st.text(max_size=60), max_size=4), st.integers(1, 40))
def test_wrapping_loses_no_word_and_fits(parts: list[str], width: int) -> None:
    whole = line(*parts)
    pieces = wrap([whole], width)
    assert all(sum(cell_len(part.text) for part in piece) <= max(width, 10) for piece in pieces)
    text = "".join(part.text for part in whole).replace(" ", "")
    assert "".join(part.text for piece in pieces for part in piece).replace(" ", "") == text


def test_a_mark_stays_with_its_letter_at_the_end_of_a_line() -> None:
    pieces = wrap([(cell("abcdefghie\u0301klmnopqrst"),)], 10)
    assert [part.text for part in pieces[0]] == ["abcdefghie\u0301"]
