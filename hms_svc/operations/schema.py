"""The JSON schema of a payload model in texts for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, TypeAlias

from hms_svc.sdk.job_type import PayloadModel

Schema: TypeAlias = Mapping[str, Any]


class FieldKind(StrEnum):
    """How the text of a field is read."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    JSON = "json"


_KINDS: Final = {
    "string": FieldKind.TEXT,
    "integer": FieldKind.INTEGER,
    "number": FieldKind.NUMBER,
    "boolean": FieldKind.BOOLEAN,
}
_JSON_TYPE_NAMES: Final = {"array": "a list", "object": "an object"}
_FORMAT_NAMES: Final = {
    "date-time": "a time such as 2026-01-31T12:00:00Z",
    "date": "a date such as 2026-01-31",
}
_NUMERIC: Final = frozenset({"integer", "number"})


def object_schema(model: PayloadModel) -> Schema | None:
    """Return the schema of a model, None if it is not that of an object with fields."""
    from pydantic.errors import PydanticUserError

    try:
        whole = model.model_json_schema()
    except PydanticUserError:
        return None
    schema = resolve(whole, whole)
    return {**schema, "$defs": whole.get("$defs", {})} if "properties" in schema else None


def resolve(schema: Schema, whole: Schema) -> Schema:
    """Follow references, and unwrap `X or null`; keywords beside them are kept."""
    beside = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf", "allOf")}
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return {**resolve(whole["$defs"][name], whole), **beside}
    kinds = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if len(kinds) == 1:
        return {**resolve(kinds[0], whole), **beside}
    if kinds and all(each.get("type") in _NUMERIC for each in kinds):
        return {"type": "number", **beside}
    return schema


def kind_of(schema: Schema) -> FieldKind:
    """Return how the text of a resolved field is to be read."""
    if "enum" in schema or "const" in schema:
        return FieldKind.CHOICE
    return _KINDS.get(str(schema.get("type")), FieldKind.JSON)


def values_of(schema: Schema) -> tuple[Any, ...]:
    """Return the values among which a resolved field chooses."""
    return (schema["const"],) if "const" in schema else tuple(schema.get("enum", ()))


def hint_of(schema: Schema) -> str:
    """Return what a resolved field accepts, as text: `−90 to 90`; empty if any value is accepted."""
    return "; ".join(word for word in _hints(schema) if word)


def _hints(schema: Schema) -> Iterator[str]:
    if kind_of(schema) is FieldKind.JSON:
        yield _JSON_TYPE_NAMES.get(str(schema.get("type")), "")
    yield _range(schema, "minimum", "maximum", "")
    if "exclusiveMinimum" in schema:
        yield f"more than {number_text(schema['exclusiveMinimum'])}"
    if "exclusiveMaximum" in schema:
        yield f"less than {number_text(schema['exclusiveMaximum'])}"
    yield _range(schema, "minLength", "maxLength", " characters")
    yield _range(schema, "minItems", "maxItems", " items")
    if "multipleOf" in schema:
        yield f"a multiple of {number_text(schema['multipleOf'])}"
    if "pattern" in schema:
        yield f"matching {schema['pattern']}"
    yield _FORMAT_NAMES.get(str(schema.get("format")), str(schema.get("format", "")))
    yield str(schema.get("description", ""))


def _range(schema: Schema, low: str, high: str, unit: str) -> str:
    if low in schema and high in schema:
        return f"{number_text(schema[low])} to {number_text(schema[high])}{unit}"
    if low in schema:
        return f"at least {number_text(schema[low])}{unit}"
    return f"at most {number_text(schema[high])}{unit}" if high in schema else ""


def number_text(value: float) -> str:
    """Return a limit for people: `−90`, `3,600`, `0.5`."""
    whole = isinstance(value, int) or value.is_integer()
    return (f"{int(value):,}" if whole and abs(value) < 1e15 else f"{value:g}").replace("-", "−")
