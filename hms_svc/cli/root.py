"""What all commands share: errors become one clear line and the documented exit code."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any, Final

import typer

from hms_svc.cli.catalogue import COMMANDS, build
from hms_svc.cli.once import LazyGroup
from hms_svc.domain.errors import BadInput, HmsError, Outage, Refused, ValidationFailed
from hms_svc.domain.plain_text import plain_lines
from hms_svc.domain.utf8 import has_surrogates, writable

DONE: Final = 0
OUR_FAULT: Final = 1
BAD_INPUT: Final = 2
NOT_ALL: Final = 3
TIMED_OUT: Final = 4
OUTAGE: Final = 5
REFUSED: Final = 6
INTERRUPTED: Final = 130
UNWRITABLE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def exit_code(error: HmsError) -> int:
    """Return the documented exit code of an error."""
    if isinstance(error, BadInput):
        return BAD_INPUT
    if isinstance(error, Outage):
        return OUTAGE
    return REFUSED if isinstance(error, Refused | ValidationFailed) else OUR_FAULT


def complain(text: str) -> None:
    """Print a message on standard error, with foreign text in it sanitised."""
    typer.echo(f"hms-svc: {plain_lines(text)}", err=True)


class Root(LazyGroup):
    """The root group: imports commands on demand, and translates their errors."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, importing its module; None if there is none of this name."""
        return build(cmd_name) if cmd_name in COMMANDS else None

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        """Parse the arguments; help and usage errors work on unusual terminals, too."""
        _tolerate_odd_terminals()
        return super().make_context(*arguments, **named)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error of its environment becomes a line on standard error and an exit code."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except HmsError as error:
            from hms_svc.domain.backend_url import mask_passwords

            complain(mask_passwords(str(error)) or type(error).__name__)
            raise typer.Exit(exit_code(error)) from error
        except BrokenPipeError as error:
            _silence_stdout()
            raise typer.Exit(DONE) from error
        except OSError as error:
            if error.errno is None:
                raise
            complain(_message(error))
            raise typer.Exit(OUR_FAULT) from error
        except UnicodeEncodeError as error:
            if not has_surrogates(error.object):
                raise
            complain(
                f"{writable(error.object)!r:.200} cannot be decoded in this locale: "
                "use UTF-8, for example with LC_ALL=C.UTF-8"
            )
            raise typer.Exit(BAD_INPUT) from error


def _message(error: OSError) -> str:
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    if error.errno in UNWRITABLE:
        _silence_stdout()
        return f"output cannot be written: {error.strerror}"
    if error.errno == errno.ENOENT and error.strerror == os.strerror(errno.ENOENT):
        return "the current directory was deleted: change to one that exists"
    return str(error.strerror)


def _tolerate_odd_terminals() -> None:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _silence_stdout() -> None:
    # Python flushes standard output again at exit, which would report the error a second time.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
