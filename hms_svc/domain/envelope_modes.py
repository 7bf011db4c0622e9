"""CloudEvents over HTTP: structured, batch and binary mode (HTTP protocol binding 1.0.2)."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from hms_svc.domain.envelopes import Envelope, is_json, read_envelope
from hms_svc.domain.errors import BadInput, MalformedJob
from hms_svc.domain.job import MAX_ITEM_BYTES
from hms_svc.domain.strict_json import JsonValue, read_strict

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
MAX_BATCH: Final = 1000
_PREFIX: Final = "ce-"
_DIFFERENT_CONTENT: Final = frozenset({"data", "data_base64", "datacontenttype"})
_ESCAPED: Final = re.compile(r"\\(.)")


def is_binary(headers: Mapping[str, str]) -> bool:
    """Return whether a request is in binary mode: the attributes of its envelope are in its headers."""
    return not _media_type(headers).startswith("application/cloudevents")


def read_envelopes(headers: Mapping[str, str], body: bytes) -> list[Envelope]:
    """Return the envelopes of a request; header names are lower-case.

    Raises MalformedJson, or MalformedJob naming the attribute and, in a batch, the event.
    """
    media_type = _media_type(headers)
    if media_type == BATCH:
        return _batch(read_strict(body))
    if len(body) > MAX_ITEM_BYTES:
        raise MalformedJob(f"the body has {len(body)} bytes; the limit is {MAX_ITEM_BYTES}")
    if media_type == STRUCTURED:
        return [read_envelope(read_strict(body))]
    if not is_binary(headers):
        raise MalformedJob(f"content-type {media_type:.80} is neither {STRUCTURED} nor {BATCH}")
    if not any(name.startswith(_PREFIX) for name in headers):
        raise MalformedJob(
            f"not a CloudEvent: expected content-type {STRUCTURED} or {BATCH}, or headers ce-id, ce-source,"
            " ce-type and ce-specversion"
        )
    return [_binary(headers, body)]


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _batch(value: JsonValue) -> list[Envelope]:
    if not isinstance(value, list):
        raise MalformedJob("a batch is a JSON array of CloudEvents")
    if len(value) > MAX_BATCH:
        raise MalformedJob(f"a batch of {len(value)} events; the limit is {MAX_BATCH}")
    envelopes = []
    for number, item in enumerate(value, start=1):
        try:
            envelopes.append(read_envelope(item))
        except BadInput as error:
            field = error.field if isinstance(error, MalformedJob) else ""
            raise MalformedJob(f"event {number} of the batch: {error}", field) from error
    return envelopes


def _binary(headers: Mapping[str, str], body: bytes) -> Envelope:
    document: dict[str, JsonValue] = {}
    for header, value in headers.items():
        if header.startswith(_PREFIX):
            name = header.removeprefix(_PREFIX)
            if name in _DIFFERENT_CONTENT:
                raise MalformedJob(
                    f"{header} is not an attribute: the body and content-type carry it", name
                )
            document[name] = _header_value(header, value)
    if content_type := headers.get("content-type", ""):
        document["datacontenttype"] = content_type
    if body and (not content_type or is_json(content_type)):
        document["data"] = read_strict(body)
    elif body:
        document["data_base64"] = base64.b64encode(body).decode()
    return read_envelope(document)


def _header_value(header: str, value: str) -> str:
    """Undo double quotes, then percent-encoding, once each, as the binding requires (3.1.3.2)."""
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = _ESCAPED.sub(r"\1", value[1:-1])
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError as error:
        raise MalformedJob(f"{header} is not percent-encoded UTF-8", header) from error
