"""Values that are read without Pydantic are those that typer reads with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.core import TyperCommand

from hms_svc.cli.once import LazyCommand

COMMON = ["x", "", " ", "7", "007", "-1", "+7", "7.0", "1_0", "\u0667", " 7", "11", "9" * 30]


def parsed(cls: type[TyperCommand], function: Any, arguments: list[str]) -> object:
    """Return what a command was called with, or the message of the error."""
    app = typer.Typer(add_completion=False)
    app.command(cls=cls)(function)
    try:
        return typer.main.get_command(app).main(arguments, standalone_mode=False)
    except typer.BadParameter as error:
        return type(error).__name__, error.format_message()


def one_text(value: str) -> object:
    return value


def texts(values: Annotated[list[str] | None, typer.Argument()] = None) -> object:
    return values


def needed_texts(values: list[str]) -> object:
    return values


def listed(value: Annotated[list[str] | None, typer.Option()] = None) -> object:
    return value


def whole(value: Annotated[int, typer.Option(min=1, max=10)] = 3) -> object:
    return value


def limit(value: Annotated[int | None, typer.Option()] = None) -> object:
    return value


def number(value: Annotated[float, typer.Option(min=1)] = 3.0) -> object:
    return value


def path(value: Annotated[Path | None, typer.Option()] = None) -> object:
    return value


POSITIONAL = [one_text, texts, needed_texts]
OPTIONAL = [listed, whole, limit, number, path]


@pytest.mark.parametrize("function", POSITIONAL + OPTIONAL)
def test_a_value_is_read_as_typer_reads_it(function: Any, tmp_path: Path) -> None:
    files = [str(tmp_path), str(tmp_path / "none")]
    for value in [*COMMON, *files, "\udcff"]:
        given = ["--", value] if function in POSITIONAL else ["--value", value]
        ours = parsed(LazyCommand, function, given)
        theirs = parsed(TyperCommand, function, given)
        if value != "\udcff" or function is not one_text:  # plain text with surrogates passes
            assert ours == theirs, value
            assert type(ours) is type(theirs)


@pytest.mark.parametrize("function", POSITIONAL + OPTIONAL)
def test_an_omitted_value_is_what_typer_makes_of_it(function: Any) -> None:
    assert parsed(LazyCommand, function, []) == parsed(TyperCommand, function, [])


def test_several_texts_are_a_list() -> None:
    assert parsed(LazyCommand, texts, ["a", "b"]) == ["a", "b"]
    assert parsed(LazyCommand, listed, ["--value", "a", "--value", "b"]) == ["a", "b"]
