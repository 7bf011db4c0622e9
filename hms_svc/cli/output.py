"""Output of commands: JSON lines for programs, tables for people, progress bars.

Foreign text is sanitised here and is never parsed as markup.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from hms_svc.domain.local_time import moment
from hms_svc.domain.plain_text import plain, plain_json, plain_lines
from hms_svc.domain.utf8 import writable

if TYPE_CHECKING:
    import msgspec
    from rich.console import Console

    from hms_svc.cli.columns import TableColumn
    from hms_svc.domain.strict_json import JsonValue

WIDE = 10_000
"""Width if the output is not a terminal: nothing is shortened or wrapped then."""


def emit(value: msgspec.Struct | Mapping[str, JsonValue]) -> None:
    """Print one answer as a JSON object on its own line; what UTF-8 cannot encode becomes an escape."""
    from hms_svc.domain.strict_json import encode

    try:
        line = encode(value).decode()
    except UnicodeEncodeError:
        from msgspec import to_builtins

        line = encode(_writable(to_builtins(value))).decode()
    sys.stdout.write(plain_json(line) + "\n")


def _writable(value: Any) -> Any:
    if isinstance(value, str):
        return writable(value)
    if isinstance(value, Mapping):
        return {_writable(name): _writable(each) for name, each in value.items()}
    return [_writable(each) for each in value] if isinstance(value, list | tuple) else value


def flush() -> None:
    """Flush the output: for commands that run for long."""
    sys.stdout.flush()


def echo(text: str) -> None:
    """Print a line for people."""
    typer.echo(plain_lines(text))


def hint(text: str) -> None:
    """Print a line beside the output, on standard error."""
    typer.echo(plain_lines(text), err=True)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
    leaving: Sequence[str] = (),
) -> None:
    """Print a table; see `make_table`."""
    console().print(make_table(columns, rows, title=title, leaving=leaving))


def make_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
    leaving: Sequence[str] = (),
) -> Any:
    """Return a table whose cells are plain text; numbers are right-aligned.

    On a narrow terminal columns are left out, those of `leaving` first, and named below;
    texts of several words may be shortened, other cells never are. Without a terminal all columns are shown.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from hms_svc.cli.columns import fit

    filled = [list(row) for row in rows]
    texts = [[_cell(value) for value in row] for row in filled]
    measured = [_measure(name, [row[n] for row in texts]) for n, name in enumerate(columns)]
    available = (
        console().width if sys.stdout.isatty() else sum(each.width + 3 for each in measured) + 1
    )
    shown = fit(measured, available, leaving)
    made = Table(
        box=box.SIMPLE_HEAD, title=Text(plain(title)) if title else None, title_justify="left"
    )
    for number, width in shown.items():
        numeric = bool(filled) and all(isinstance(row[number], int | float) for row in filled)
        made.add_column(
            Text(columns[number]),
            justify="right" if numeric else "left",
            overflow="ellipsis" if number else "fold",
            no_wrap=number > 0,
            max_width=width,
        )
    for row in texts:
        made.add_row(*(Text(row[number]) for number in shown))
    left = [name for number, name in enumerate(columns) if name and number not in shown]
    if left:
        made.caption = Text(f"too narrow for: {', '.join(left)}")
        made.caption_justify = "left"
    return made


def _measure(name: str, texts: Sequence[str]) -> TableColumn:
    from rich.cells import cell_len

    from hms_svc.cli.columns import TableColumn

    width = max(map(cell_len, (name, *texts)))
    return TableColumn(name, width, is_prose=any(" " in text for text in texts))


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line, leaving out empty ones."""
    shown = [(name, _cell(value)) for name, value in pairs if value not in (None, "", ())]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        typer.echo(f"{name:<{width}}  {value}")


def pretty(value: JsonValue) -> str:
    """Return JSON for people, indented and sanitised."""
    import json

    return plain_lines(json.dumps(value, indent=2, ensure_ascii=False))


def when(unix_ms: int | None) -> str:
    """Return a time for people, in their zone, empty if there is none."""
    return moment(unix_ms or None)


def console() -> Console:
    """Return the console of standard output."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else WIDE
    return Console(markup=False, highlight=False, emoji=False, width=width)


def can_repaint() -> bool:
    """Return whether standard output is a terminal that shows the next page in the place of the last one."""
    shown = console()
    return sys.stdout.isatty() and shown.is_terminal and not shown.is_dumb_terminal


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error if that is a terminal; yields the function that advances it."""
    if not sys.stderr.isatty():
        yield lambda advance: None
        return
    from rich.console import Console
    from rich.progress import Progress

    # By default the bar redirects standard output, and printed lines would go to the terminal.
    bar = Progress(
        console=Console(stderr=True, markup=False),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with bar:
        task = bar.add_task(label, total=total)
        yield lambda advance: bar.advance(task, advance)


def needs_confirmation(*, assume_yes: bool) -> bool:
    """Return whether a command asks for confirmation: on a terminal, unless `--yes` was given."""
    return not assume_yes and sys.stdin.isatty()


def confirmed(question: str, *, assume_yes: bool) -> bool:
    """Ask for confirmation on a terminal; if standard input is not one, the command counts as confirmed."""
    if not needs_confirmation(assume_yes=assume_yes):
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
