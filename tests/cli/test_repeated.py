"""Options that stand twice: those that take a list add up, all others are refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from hms_svc.cli.app import make_app
from hms_svc.cli.catalogue import COMMANDS, build
from tests.support.command_line import Cli

SAFE = {"help"}


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    yield (), typer.main.get_command(make_app())
    for name in COMMANDS:
        made = build(name)
        yield (name,), made
        for inner in getattr(made, "commands", {}).items():
            yield (name, inner[0]), inner[1]


def options() -> Iterator[Any]:
    for names, command in commands():
        for parameter in command.params:
            if parameter.param_type_name == "option" and parameter.name not in SAFE:
                yield pytest.param(names, parameter, id=" ".join([*names, parameter.opts[0]]))


@pytest.mark.parametrize(("names", "option"), list(options()))
def test_an_option_that_stands_twice_adds_up_or_is_refused(
    cli: Cli, names: tuple[str, ...], option: Any
) -> None:
    given = [option.opts[0], *([] if option.is_flag else ["1"])]
    if option.multiple:
        assert option.default is None or isinstance(option.default, list | tuple)
        return
    answer = cli(*names, *given, *given, code=2)
    assert f"'{option.opts[0]}'" in answer.err or option.opts[0] in answer.err, answer.err
    assert "it may be given only once" in answer.err, answer.err


def test_scopes_of_a_token_add_up(cli: Cli) -> None:
    cli("tokens", "create", "portal", "--scope", "view", "--scope", "produce,metrics")
    assert set(cli("tokens", "list", "--json").row["scopes"]) == {"view", "produce", "metrics"}
