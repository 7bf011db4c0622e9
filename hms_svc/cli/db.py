"""`hms-svc db`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hms_svc.cli.action_commands import commands_of
from hms_svc.cli.options import AsJson, Commands
from hms_svc.cli.output import echo, emit
from hms_svc.cli.session import Session, run, session_of
from hms_svc.domain.errors import BadInput

if TYPE_CHECKING:
    from hms_svc.settings import Settings


def migrate(context: typer.Context, as_json: AsJson = False) -> None:
    """Migrate the database to the schema of this program."""
    session_of(context).check_writable("db migrate")
    version = run(lambda: _migrate(session_of(context)))
    if as_json:
        from hms_svc.operations.answers.installation import SchemaVersion

        emit(SchemaVersion(version=version))
    else:
        echo(f"the schema is at {version}")


def _backup(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Directory for the copies.")],
    as_json: AsJson = False,
) -> None:
    session_of(context).check_writable("db backup")
    _check_embedded(session_of(context).settings)
    folder = folder.absolute()
    queue, cases = folder / "queue.db", folder / "cases.db"
    for file in (queue, cases):
        if file.exists():
            raise BadInput(f"{file} exists: choose a directory without copies in it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder} cannot be created: {error.strerror}") from error
    run(lambda: _copy(session_of(context), queue, cases))
    if as_json:
        from hms_svc.operations.answers.installation import BackupFiles

        emit(BackupFiles(queue=str(queue), cases=str(cases)))
    else:
        echo(f"copied to {queue} and {cases}")


COMMANDS: Final[Commands] = {"migrate": migrate, **commands_of({"backup": _backup})}


def _check_embedded(settings: Settings) -> None:
    from hms_svc.domain.backend_url import BackendKind, mask_password

    if settings.database.kind is not BackendKind.SQLITE:
        raise BadInput(
            f"{mask_password(settings.database_url)} is not an embedded file: back it up with pg_dump, "
            "or with the tools of your database server"
        )


async def _migrate(session: Session) -> str:
    from hms_svc.bootstrap import database

    return await database(session.settings).migrate()


async def _copy(session: Session, queue: Path, cases: Path) -> None:
    async with session.operations() as operations:
        await operations.actions.backup(str(queue), str(cases))
