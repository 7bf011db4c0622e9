"""Options that several commands share, each declared once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeAlias

import typer

Commands: TypeAlias = Mapping[str, Callable[..., Any]]
"""Commands of a group by their names."""
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
Limit: TypeAlias = Annotated[int, typer.Option(min=0, help="Maximum number; 0 means all.")]
Cursor: TypeAlias = Annotated[
    str | None, typer.Option(help="Continue where an earlier page ended.", show_default=False)
]
Where: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="A filter, such as 'state:dead type:pothole.* error~timeout age>1h'.",
        show_default=False,
    ),
]
Reason: TypeAlias = Annotated[str, typer.Option("--reason", help="Reason; kept in the audit log.")]
"""Each sentence of an operator is a `--reason`; for its former name see `former_name`."""
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Only show what would happen.")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
JobId: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="The id of a job.")]
Archive: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--archive", help="Search the archive, which has jobs that the broker no longer keeps."
    ),
]
TypeName: TypeAlias = Annotated[str, typer.Argument(metavar="TYPE", help="The type of a job.")]


def former_name(name: str) -> str:
    """Return the name of an option for one that it had before: `--note` is `--reason`, not shown in the help."""
    return "reason" if name == "note" else name
