"""What commands print: JSON lines for programs, tables for people, progress for those who wait.

Text from outside is made harmless here and is never parsed as markup.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from hms_svc.domain.plain_text import plain, plain_json, plain_lines
from hms_svc.domain.timestamps import to_rfc3339

if TYPE_CHECKING:
    from rich.console import Console

    from hms_svc.domain.strict_json import JsonValue

WIDE = 240


def emit(value: Mapping[str, JsonValue]) -> None:
    """Print one JSON object on a line of its own."""
    from hms_svc.domain.strict_json import encode

    sys.stdout.write(plain_json(encode(value).decode()) + "\n")


def flush() -> None:
    """Hand on what was printed: for commands that go on for long."""
    sys.stdout.flush()


def say(text: str) -> None:
    """Print a line for people."""
    typer.echo(plain_lines(text))


def hint(text: str) -> None:
    """Print a line beside the output, on standard error."""
    typer.echo(plain_lines(text), err=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """Print a table; numbers stand to the right. Without a terminal it is as wide as it needs."""
    console().print(make_table(columns, rows, title=title))


def make_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> Any:
    """Make a table whose cells are plain text."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    filled = [list(row) for row in rows]
    made = Table(
        box=box.SIMPLE_HEAD, title=Text(plain(title)) if title else None, title_justify="left"
    )
    for number, name in enumerate(columns):
        numeric = bool(filled) and all(isinstance(row[number], int | float) for row in filled)
        made.add_column(
            Text(name),
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=number == 0,
        )
    for row in filled:
        made.add_row(*(Text(_cell(value)) for value in row))
    return made


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line, leaving out empty ones."""
    shown = [(name, _cell(value)) for name, value in pairs if value not in (None, "", ())]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        typer.echo(f"{name:<{width}}  {value}")


def pretty(value: JsonValue) -> str:
    """Write JSON for people, indented and harmless."""
    import json

    return plain_lines(json.dumps(value, indent=2, ensure_ascii=False))


def when(unix_ms: int | None) -> str:
    """Write a time for people, empty where there is none."""
    return to_rfc3339(unix_ms) if unix_ms else ""


def console() -> Console:
    """Make the console of standard output."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else WIDE
    return Console(markup=False, highlight=False, emoji=False, width=width)


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error where that is a terminal; gives what is told of each advance."""
    if not sys.stderr.isatty():
        yield lambda advance: None
        return
    from rich.console import Console
    from rich.progress import Progress

    # Left to itself the bar takes standard output over, and what is printed goes to the terminal.
    bar = Progress(
        console=Console(stderr=True, markup=False),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with bar:
        task = bar.add_task(label, total=total)
        yield lambda advance: bar.advance(task, advance)


def confirmed(question: str, *, assume_yes: bool) -> bool:
    """Ask on a terminal; where standard input is none, the command line itself was the yes."""
    if assume_yes or not sys.stdin.isatty():
        return True
    return typer.confirm(plain(question), err=True)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.1f}"
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else plain(str(value))
