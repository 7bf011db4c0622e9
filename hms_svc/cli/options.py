"""Options that several commands take, each declared once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeAlias

import typer

Commands: TypeAlias = Mapping[str, Callable[..., Any]]
"""Commands of a group by their names."""
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
Limit: TypeAlias = Annotated[int, typer.Option(min=0, help="How many at most; 0 is all.")]
Cursor: TypeAlias = Annotated[
    str | None, typer.Option(help="Go on where an earlier page ended.", show_default=False)
]
Where: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="A filter, such as 'state:dead type:pothole.* error~timeout age>1h'.",
        show_default=False,
    ),
]
Note: TypeAlias = Annotated[str, typer.Option(help="Why; kept in the audit log.")]
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Only tell what would happen.")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask on a terminal.")]
JobId: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="The id of a job.")]
Archive: TypeAlias = Annotated[
    bool, typer.Option("--archive", help="Those that the broker has let go of.")
]
TypeName: TypeAlias = Annotated[str, typer.Argument(metavar="TYPE", help="The type of a job.")]
