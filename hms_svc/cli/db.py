"""`hms-svc db`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hms_svc.cli.options import AsJson, Commands
from hms_svc.cli.printing import emit, say
from hms_svc.cli.session import Session, run, session_of
from hms_svc.domain.errors import BadInput

if TYPE_CHECKING:
    from hms_svc.settings import Settings


def migrate(context: typer.Context, as_json: AsJson = False) -> None:
    """Bring the schema of the database to this program's version."""
    session_of(context).check_writable("db migrate")
    version = run(lambda: _migrate(session_of(context)))
    if as_json:
        from hms_svc.operations.answers.installation import SchemaVersion

        emit(SchemaVersion(version=version))
    else:
        say(f"the schema is at {version}")


def backup(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder for the copies.")],
    as_json: AsJson = False,
) -> None:
    """Write consistent copies of the embedded files into a folder, while all goes on."""
    _check_embedded(session_of(context).settings)
    folder = folder.absolute()
    queue, cases = folder / "queue.db", folder / "cases.db"
    for file in (queue, cases):
        if file.exists():
            raise BadInput(f"{file} exists: name a folder without copies in it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder} cannot be made: {error.strerror}") from error
    run(lambda: _backup(session_of(context), queue, cases))
    if as_json:
        from hms_svc.operations.answers.installation import BackupFiles

        emit(BackupFiles(queue=str(queue), cases=str(cases)))
    else:
        say(f"copied to {queue} and {cases}")


COMMANDS: Final[Commands] = {"migrate": migrate, "backup": backup}


def _check_embedded(settings: Settings) -> None:
    from hms_svc.domain.backend_url import BackendKind, mask_password

    if settings.database.kind is not BackendKind.SQLITE:
        raise BadInput(
            f"{mask_password(settings.database_url)} is no embedded file: copy it with pg_dump, "
            "or with what your server is backed up by"
        )


async def _migrate(session: Session) -> str:
    from hms_svc.bootstrap import database

    return await database(session.settings).migrate()


async def _backup(session: Session, queue: Path, cases: Path) -> None:
    async with session.operations() as operations:
        await operations.actions.backup(str(queue), str(cases))
