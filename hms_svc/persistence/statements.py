"""Shared helpers for statements: lists of any length as one parameter, statements of hot paths, bulk inserts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Row,
    SelectBase,
    Table,
    TableValuedAlias,
    Text,
    any_,
    bindparam,
    cast,
    column,
    func,
    select,
)
from sqlalchemy.dialects.sqlite import Insert as SQLiteInsert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from hms_svc.domain.strict_json import encode
from hms_svc.sqlite.statements import for_many, takes_many

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert as PostgresInsert

AnyRow: TypeAlias = Row[*tuple[Any, ...]]
DialectInsert: TypeAlias = "SQLiteInsert | PostgresInsert"
POSTGRESQL: Final = "postgresql"
_REQUIRED: Final = object()


def among(compared: Column[Any], name: str = "values") -> ColumnElement[bool]:
    """Return the condition that a column is in a collection, which is one parameter.

    The text of the statement does not depend on the length of the list, so it is prepared
    once, and the limit on the number of parameters does not apply.
    """
    return _Among(compared, bindparam(name, type_=_Listed(compared.type)))


class _Listed(TypeDecorator[Collection[Any]]):
    """A collection as one parameter: an array, or JSON if the dialect has no arrays."""

    impl = Text
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        array = dialect.name == POSTGRESQL
        return dialect.type_descriptor(ARRAY(self.item) if array else Text())

    def process_bind_param(self, value: Collection[Any] | None, dialect: Dialect) -> Any:
        values = list(value or ())
        return values if dialect.name == POSTGRESQL else encode(values).decode()


class _Among(FunctionElement[bool]):
    """`among`, compiled when the dialect is known."""

    inherit_cache = True
    name = "among"
    type = Boolean()

    def self_group(self, against: Any = None) -> Any:
        """Return the condition as it is: `(x IN …) = 1` would hide it from the indexes of SQLite."""
        return self


@compiles(_Among)
def _among_json(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    compared, listed = _sides(element)
    rows = func.json_each(listed).table_valued("value")
    condition = compared.in_(select(cast(rows.c.value, compared.type)))
    return compiler.process(condition, **options)


@compiles(_Among, POSTGRESQL)
def _among_array(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    compared, listed = _sides(element)
    return compiler.process(compared == any_(listed), **options)


def _sides(element: _Among) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    compared, listed = element.clauses
    return compared, listed


class Bulk:
    """A writing statement for many rows: SQLAlchemy compiles it once, the driver runs it.

    `names` are its parameters in the order of the tuples that `run` takes. On PostgreSQL
    each parameter is the array of a whole column, so that any number of rows is one
    statement and one round trip.
    """

    def __init__(self, build: Callable[[str], UpdateBase], names: Sequence[str]) -> None:
        self._build = build
        self.names = list(names)
        self._texts: dict[str, str] = {}

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Run the statement for all rows, if any; return the rows that it returns.

        On SQLite only an INSERT may return rows.
        """
        if not rows:
            return []
        text = self._text(connection.dialect)
        if connection.dialect.name == POSTGRESQL:
            return _run(connection, text, tuple(_columns(rows)))
        if takes_many(text):
            return [
                row
                for repeated, values in for_many(text, rows)
                for row in _run(connection, repeated, values)
            ]
        connection.connection.cursor().executemany(text, rows)
        return []

    def statement(self, dialect: str) -> UpdateBase:
        """Return the statement for a dialect."""
        return self._build(dialect)

    def _text(self, dialect: Dialect) -> str:
        text = self._texts.get(dialect.name)
        if text is None:
            text = self._texts[dialect.name] = _compiled(
                self.statement(dialect.name), [self], dialect
            )
        return text


class Query:
    """A statement with named parameters: SQLAlchemy compiles it once, the driver runs it.

    For statements that run for each batch of jobs: SQLAlchemy would need longer to run one and to
    wrap its rows than the driver needs for the statement itself.
    """

    def __init__(self, statement: SelectBase | UpdateBase) -> None:
        self._statement = statement
        self._prepared: dict[str, tuple[str, Sequence[_Parameter]]] = {}

    def run(self, connection: Connection, **values: Any) -> list[tuple[Any, ...]]:
        """Run the statement; return the rows that it returns. Raise KeyError for a missing parameter."""
        prepared = self._prepared.get(connection.dialect.name)
        if prepared is None:
            prepared = self._prepare(connection.dialect)
        text, parameters = prepared
        return _run(connection, text, tuple(each.of(values) for each in parameters))

    def _prepare(self, dialect: Dialect) -> tuple[str, Sequence[_Parameter]]:
        compiled = self._statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        parameters = [
            _Parameter(
                name,
                _REQUIRED if compiled.binds[name].required else compiled.params[name],
                compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect),
            )
            for name in compiled.positiontup or ()
        ]
        prepared = self._prepared[dialect.name] = (str(compiled), parameters)
        return prepared


class _Parameter(NamedTuple):
    name: str
    default: Any
    convert: Callable[[Any], Any] | None

    def of(self, values: Mapping[str, Any]) -> Any:
        value = (
            values[self.name] if self.default is _REQUIRED else values.get(self.name, self.default)
        )
        return value if self.convert is None else self.convert(value)


Part: TypeAlias = tuple[Bulk, Sequence[tuple[Any, ...]]]
_TOGETHER: Final[dict[tuple[Bulk, ...], str]] = {}


def write_together(connection: Connection, parts: Sequence[Part]) -> None:
    """Run several Bulks on unrelated tables: on PostgreSQL in one round trip."""
    parts = [part for part in parts if part[1]]
    if connection.dialect.name != POSTGRESQL or len(parts) < 2:
        for bulk, rows in parts:
            bulk.run(connection, rows)
        return
    bulks = tuple(bulk for bulk, _ in parts)
    text = _TOGETHER.get(bulks)
    if text is None:
        *first, last = (bulk.statement(POSTGRESQL) for bulk in bulks)
        ctes = [statement.cte(f"part_{number}") for number, statement in enumerate(first)]
        text = _compiled(last.add_cte(*ctes), bulks, connection.dialect)
        _TOGETHER[bulks] = text
    values = [column for _, rows in parts for column in _columns(rows)]
    _run(connection, text, tuple(values))


def _run(connection: Connection, text: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    if connection.dialect.name == POSTGRESQL:
        result = connection.exec_driver_sql(text, values)
        return [tuple(row) for row in result] if result.returns_rows else []
    cursor = connection.connection.cursor()
    cursor.execute(text, values)
    return list(cursor.fetchall())


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(values) for values in zip(*rows, strict=True)]


def _compiled(statement: UpdateBase, bulks: Sequence[Bulk], dialect: Dialect) -> str:
    names = [name for bulk in bulks for name in bulk.names]
    compiled = statement.compile(dialect=dialect, column_keys=names)
    order = getattr(compiled, "positiontup", None) or []
    if dialect.name == POSTGRESQL:
        order = [name.rpartition("_")[0] for name in order]
    assert order == names, compiled
    return str(compiled)


def array_rows(types: Mapping[str, TypeEngine[Any]], *, by_name: bool = False) -> TableValuedAlias:
    """Return arrays as the rows of a PostgreSQL table, with their order as `ordinality`.

    The arrays of a Bulk are bound by position, those of any other statement `by_name`.
    """
    arrays = [
        bindparam(name, type_=ARRAY(type_), unique=not by_name) for name, type_ in types.items()
    ]
    columns = [column(name, type_) for name, type_ in types.items()]
    rows = func.unnest(*arrays).table_valued(*columns, with_ordinality="ordinality")
    return rows.render_derived(name="array_rows")


def insert_into(dialect: str, table: Table, names: Sequence[str]) -> DialectInsert:
    """Return an INSERT of the rows of a Bulk, in order, that supports ON CONFLICT."""
    if dialect != POSTGRESQL:
        return SQLiteInsert(table)
    from sqlalchemy.dialects.postgresql import Insert

    rows = array_rows({name: table.c[name].type for name in names})
    ordered = select(*(rows.c[name] for name in names)).order_by(rows.c.ordinality)
    return Insert(table).from_select(list(names), ordered, include_defaults=False)


def insert_rows(table: Table, *names: str) -> Bulk:
    """Return the insertion of rows with these columns."""
    return Bulk(lambda dialect: insert_into(dialect, table, names), names)


def insert_or_ignore(table: Table, *names: str, key: Sequence[str]) -> Bulk:
    """Return the insertion of rows that skips those whose unique `key` exists already."""
    return Bulk(
        lambda dialect: insert_into(dialect, table, names).on_conflict_do_nothing(
            index_elements=key
        ),
        names,
    )
