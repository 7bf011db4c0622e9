"""Runs every command of the command line, each in a fork of this process: a test starts it in odd surroundings.

Arguments: a JSON file that says what to give for parameters, and a file for what became of each,
one JSON object a line. Locale, encodings and time zone are those that this interpreter began with.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import aiosqlite  # noqa: F401 - what most commands import is imported once
import pydantic  # noqa: F401 - as above
import rich.console
import rich.table  # noqa: F401 - as above

import hms_svc.bootstrap
import hms_svc.brokers.sqlite.broker
import hms_svc.cli
import hms_svc.operations.answers.acts
import hms_svc.operations.answers.jobs
import hms_svc.operations.answers.records
import hms_svc.operations.answers.service
import hms_svc.operations.answers.type_detail
import hms_svc.operations.doctor
import hms_svc.operations.service
import hms_svc.persistence.audit_walk
import hms_svc.persistence.database
import hms_svc.persistence.sqlite_engine
from hms_svc.cli.catalogue import COMMANDS, build

MOST_SECONDS = 60
OUR_BUG = 70


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Return every command with its names."""
    for name in COMMANDS:
        made = build(name)
        if not hasattr(made, "list_commands"):
            yield (name,), made
            continue
        for inner in made.list_commands(None):
            yield (name, inner), made.get_command(None, inner)


def arguments(
    names: tuple[str, ...], command: Any, given: Mapping[str, Any], *, as_json: bool
) -> list[str]:
    """Return sensible arguments: from the file, by the command and by the names of its parameters."""
    found = [*names, *given["options"].get(" ".join(names), [])]
    for parameter in command.params:
        is_argument = parameter.param_type_name == "argument"
        if parameter.required or (is_argument and parameter.name in given["arguments"]):
            value = given["arguments"].get(parameter.name)
            assert value is not None, (
                f"{names}: test_surroundings knows no value for {parameter.name}"
            )
            found += [value] if is_argument else [parameter.opts[0], value]
        elif as_json and "--json" in parameter.opts:
            found.append("--json")
    return found


def run(arguments: list[str], out: BinaryIO, err: BinaryIO, *, on_terminal: bool) -> int:
    """Run one command in a fork; return its exit code, negative for the signal that ended it."""
    child = os.fork()
    if child == 0:
        signal.alarm(MOST_SECONDS)
        if not on_terminal:
            os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        code = OUR_BUG
        try:
            sys.argv = ["hms-svc", *arguments]
            hms_svc.cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        except BaseException:  # noqa: BLE001 - told as an interpreter would
            os.write(2, traceback.format_exc().encode("utf-8", "backslashreplace"))
        try:
            sys.stdout.flush()
        except BaseException:  # noqa: BLE001 - as above
            os.write(2, traceback.format_exc().encode("utf-8", "backslashreplace"))
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    """Run them all."""
    given = json.loads(Path(sys.argv[1]).read_bytes())
    on_terminal, as_json = given["on_terminal"], given["as_json"]
    with Path(sys.argv[2]).open("w", encoding="utf-8") as told:
        lines = [
            arguments(names, command, given, as_json=as_json)
            for names, command in sorted(commands(), key=lambda found: found[0][0] in given["last"])
            if " ".join(names) not in given["left_out"]
        ]
        for line in [*lines, ["--help"], ["no-such-ünï☃"], []]:
            with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
                decoded = [os.fsdecode(word.encode("utf-8", "surrogateescape")) for word in line]
                code = run(decoded, out, err, on_terminal=on_terminal)
                out.seek(0)
                err.seek(0)
                shown = {"out": out.read().decode("latin-1"), "err": err.read().decode("latin-1")}
            told.write(json.dumps({"line": line, "code": code, **shown}) + "\n")


if __name__ == "__main__":
    main()
