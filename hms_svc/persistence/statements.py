"""What the statement rooms share: lists of any length as one parameter, and rows by the hundred."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Row,
    Table,
    TableValuedAlias,
    Text,
    bindparam,
    cast,
    func,
    select,
)
from sqlalchemy.dialects.sqlite import Insert as SQLiteInsert
from sqlalchemy.sql.dml import UpdateBase

from hms_svc.domain.strict_json import encode

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert as PostgresInsert

AnyRow: TypeAlias = Row[*tuple[Any, ...]]
DialectInsert: TypeAlias = "SQLiteInsert | PostgresInsert"


def among(column: Column[Any], name: str = "values") -> ColumnElement[bool]:
    """Compare a column with a list that comes as one parameter, see `packed`.

    The text of the statement stays the same however long the list is, so it is
    prepared once, and no limit on the number of parameters is met.
    """
    listed: TableValuedAlias = func.json_each(bindparam(name, type_=Text)).table_valued("value")
    return column.in_(select(cast(listed.c.value, column.type)))


def packed(values: Collection[Any]) -> str:
    """Write a list for `among`."""
    return encode(list(values)).decode()


class Bulk:
    """A writing statement for many rows: SQLAlchemy words it once, the driver runs it.

    `names` are its parameters, and the order of the tuples that `run` takes.
    """

    def __init__(self, word: Callable[[str], UpdateBase], names: Sequence[str]) -> None:
        self._word = word
        self._names = list(names)
        self._texts: dict[str, str] = {}

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run the statement for every row; for none it does nothing."""
        if rows:
            connection.exec_driver_sql(self._text(connection.dialect), list(rows))

    def _text(self, dialect: Dialect) -> str:
        text = self._texts.get(dialect.name)
        if text is None:
            compiled = self._word(dialect.name).compile(dialect=dialect, column_keys=self._names)
            assert getattr(compiled, "positiontup", None) == self._names, compiled
            text = self._texts[dialect.name] = str(compiled)
        return text


def insert_into(dialect: str, table: Table) -> DialectInsert:
    """Give the INSERT that knows ON CONFLICT, in the words of the dialect of this name."""
    if dialect != "postgresql":
        return SQLiteInsert(table)
    from sqlalchemy.dialects.postgresql import Insert

    return Insert(table)


def plainly(table: Table, *names: str) -> Bulk:
    """Insert rows of these columns."""
    return Bulk(lambda dialect: insert_into(dialect, table), names)


def or_ignore(table: Table, *names: str, key: Sequence[str]) -> Bulk:
    """Insert rows, and leave one alone whose unique `key` is there already."""
    return Bulk(
        lambda dialect: insert_into(dialect, table).on_conflict_do_nothing(index_elements=key),
        names,
    )
