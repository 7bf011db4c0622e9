"""`hms-svc tokens`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from hms_svc.cli.action_commands import commands_of
from hms_svc.cli.options import AsJson, Commands
from hms_svc.cli.output import echo, emit, hint, table, when
from hms_svc.cli.session import run, session_of
from hms_svc.operations.action_table import BY_NAME

if TYPE_CHECKING:
    from hms_svc.operations.tokens import Bearer
    from hms_svc.ports.stores import Token


def _create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the bearer in the audit log.")],
    scopes: Annotated[
        list[str],
        typer.Option("--scope", help="produce, view, operate or metrics; several with commas."),
    ],
    expires: Annotated[
        str | None, typer.Option(help="Expires after this time: 90d, 12h.", show_default="never")
    ] = None,
    rate: Annotated[int, typer.Option(min=0, help="Requests per second; 0 means no limit.")] = 0,
    as_json: AsJson = False,
) -> None:
    import time

    from hms_svc.operations.answers.records import TokenCreated
    from hms_svc.operations.tokens import read_scopes

    wanted = read_scopes(",".join(scopes).split(","))
    now_ms = time.time_ns() // 1_000_000

    async def work() -> tuple[Token, Bearer, bool]:
        async with session_of(context).operations() as operations:
            made = await operations.tokens.create(
                name, wanted, expires_at=_expiry(expires, now_ms), rate=rate
            )
            return *made, len(await operations.reads.database.tokens.all()) == 1

    token, bearer, is_first = run(work)
    if is_first:
        hint("this is the first token: from now on the HTTP API requires one for every request")
    if as_json:
        emit(TokenCreated(id=token.id, name=token.name, token=bearer.text))
        return
    echo(bearer.text)
    revocation = BY_NAME["revoke-token"].command_line(token.id)
    hint(f"the token is shown only this once; to revoke it: {revocation}")


def list_tokens(context: typer.Context, as_json: AsJson = False) -> None:
    """List tokens: their names and permissions."""

    async def work() -> list[Token]:
        async with session_of(context).operations() as operations:
            return await operations.reads.database.tokens.all()

    from hms_svc.operations.answers.records import TokenAnswer

    found = run(work)
    if as_json:
        for token in found:
            emit(TokenAnswer.of(token))
        return
    table(
        ("id", "name", "scopes", "rate", "created", "expires", "revoked"),
        [
            (
                t.id,
                t.name,
                ", ".join(t.scopes),
                t.rate,
                when(t.created_at),
                when(t.expires_at),
                when(t.revoked_at),
            )
            for t in found
        ],
    )


def _revoke(
    context: typer.Context,
    token_id: Annotated[
        str, typer.Argument(metavar="ID", help="The id, as `tokens list` shows it.")
    ],
    as_json: AsJson = False,
) -> None:
    async def work() -> None:
        async with session_of(context).operations() as operations:
            await operations.tokens.revoke(token_id)

    run(work)
    if as_json:
        from hms_svc.operations.answers.records import TokenRevoked

        emit(TokenRevoked(id=token_id, revoked=True))
    else:
        echo(f"{token_id} is revoked")


COMMANDS: Final[Commands] = {
    **commands_of({"create-token": _create}),
    "list": list_tokens,
    **commands_of({"revoke-token": _revoke}),
}


def _expiry(expires: str | None, now_ms: int) -> int | None:
    from hms_svc.domain.errors import BadInput
    from hms_svc.domain.filter_terms import read_duration_ms
    from hms_svc.domain.timestamps import check_time

    if expires is None:
        return None
    try:
        return check_time(now_ms + read_duration_ms(expires), f"--expires {expires}")
    except ValueError as error:
        raise BadInput(f"--expires {expires!r:.40} is not {error}") from error
