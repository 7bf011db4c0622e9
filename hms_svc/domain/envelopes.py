"""Envelopes of other agencies: CloudEvents 1.0, and the jobs that they become."""

from __future__ import annotations

import base64
import re
from typing import Final

import msgspec

from hms_svc.domain.errors import BadInput, MalformedJob
from hms_svc.domain.ids import derived_id
from hms_svc.domain.job import MAX_DATA_BYTES, Job, encode_data
from hms_svc.domain.strict_json import JsonValue, check_strict, encode, read_strict
from hms_svc.domain.timestamps import from_rfc3339
from hms_svc.domain.trace_context import read_trace_context, with_context

RECEIVE: Final = "envelope.receive"
"""The type of the jobs that keep envelopes which no mapping matches."""
MAX_ATTRIBUTE_CHARACTERS: Final = 1024
_REQUIRED: Final = ("specversion", "id", "source", "type")
_OPTIONAL: Final = ("subject", "time", "datacontenttype", "dataschema")
_DATA: Final = ("data", "data_base64")
_OF_THE_REQUEST: Final = frozenset({"traceparent", "tracestate"})
_NAME: Final = re.compile(r"[a-z0-9]{1,64}")
_CONTROL: Final = re.compile("[\0-\x1f\x7f-\x9f]")
_PLAIN_JSON: Final = re.compile(r"application/json(?:;charset=\"?utf-8\"?)?", re.IGNORECASE)
_CHARSET: Final = re.compile(r";\s*charset=\"?([A-Za-z0-9_-]{1,32})", re.IGNORECASE)
_CHARSETS: Final = frozenset({"us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252"})
"""Character sets of texts, besides UTF-8."""
_JSON: Final = re.compile(r"(?:application|text)/(?:[^\s;/+]+\+)?json\s*(?:;.*)?", re.IGNORECASE)


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """One CloudEvent. `attributes` are the optional ones that are present, `extensions` all others.

    Data that is not JSON is in `data_base64`.
    """

    id: str
    source: str
    type: str
    attributes: dict[str, str]
    extensions: dict[str, JsonValue]
    data: JsonValue = None
    data_base64: str | None = None

    def to_job(self, type: str, now_ms: int) -> Job:
        """Return the job that the event becomes: always the same id for the same source and id."""
        data = self.data
        if self.data_base64 is not None:
            data = {"data_base64": self.data_base64}
        return self._job(derived_id("envelope", self.source, self.id), type, data, now_ms)

    def to_unmapped_job(self, now_ms: int) -> Job:
        """Return the job that keeps the whole event until a mapping matches it."""
        id = derived_id("unmapped", self.source, self.id)
        return self._job(id, RECEIVE, self.to_cloudevent(), now_ms)

    def _job(self, id: str, type: str, data: JsonValue, now_ms: int) -> Job:
        named: dict[str, JsonValue] = {"source": self.source, "id": self.id, "type": self.type}
        attributes = named | self.attributes | {"extensions": self.extensions}
        job = Job(
            id=id,
            type=type,
            data=encode_data(data),
            enqueued_at=now_ms,
            meta=encode({"cloudevent": attributes}),
        )
        given = self.extensions.get("traceparent"), self.extensions.get("tracestate")
        return with_context(job, read_trace_context(*given))

    def to_cloudevent(self) -> dict[str, JsonValue]:
        """Return the CloudEvent without what differs when a sender repeats it."""
        whole: dict[str, JsonValue] = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            **self.attributes,
        }
        if _PLAIN_JSON.fullmatch("".join(self.attributes.get("datacontenttype", "").split())):
            del whole["datacontenttype"]  # The default if no type is given; binary mode needs one.
        whole |= {
            name: value for name, value in self.extensions.items() if name not in _OF_THE_REQUEST
        }
        encoded = self.data_base64 is not None
        return whole | ({"data_base64": self.data_base64} if encoded else {"data": self.data})


def read_envelope(value: JsonValue) -> Envelope:
    """Return the envelope of a CloudEvent in JSON, or raise MalformedJob naming the attribute."""
    if not isinstance(value, dict):
        raise MalformedJob("an envelope is a JSON object: a CloudEvent 1.0")
    attributes = {
        name: _attribute(name, item)
        for name, item in value.items()
        if name not in _DATA and item is not None
    }
    texts = {name: _text(name, attributes) for name in _REQUIRED}
    texts |= {name: _text(name, attributes) for name in _OPTIONAL if name in attributes}
    if texts["specversion"] != "1.0":
        raise MalformedJob(f"specversion {texts['specversion']!r:.40} is not 1.0", "specversion")
    _check_time(texts.get("time"))
    data, data_base64 = _data(value, texts.get("datacontenttype", ""))
    envelope = Envelope(
        id=texts["id"],
        source=texts["source"],
        type=texts["type"],
        attributes={name: texts[name] for name in _OPTIONAL if name in texts},
        extensions={name: item for name, item in attributes.items() if name not in texts},
        data=data,
        data_base64=data_base64,
    )
    check_strict(envelope.to_cloudevent())
    _check_size(envelope)
    return envelope


def is_json(content_type: str) -> bool:
    """Return whether a media type is JSON."""
    return _JSON.fullmatch(content_type.strip()) is not None


def _attribute(name: str, value: JsonValue) -> str | bool | int:
    if not _NAME.fullmatch(name):
        message = f"attribute name {name!r:.80} must be 1 to 64 characters of a-z and 0-9"
        raise MalformedJob(message, name)
    if isinstance(value, str):
        if len(value) > MAX_ATTRIBUTE_CHARACTERS:
            message = f"{name} has {len(value)} characters; the limit is {MAX_ATTRIBUTE_CHARACTERS}"
            raise MalformedJob(message, name)
        if _CONTROL.search(value):
            raise MalformedJob(f"{name} {value!r:.80} has a control character", name)
        return value
    if isinstance(value, bool | int):
        return value
    raise MalformedJob(f"{name} is not a string, an integer or a boolean", name)


def _text(name: str, attributes: dict[str, str | bool | int]) -> str:
    value = attributes.get(name, "")
    if isinstance(value, str) and value:
        return value
    if name in attributes:
        raise MalformedJob(f"{name} {value!r:.80} is not a non-empty string", name)
    raise MalformedJob(f"{name} is missing: a CloudEvent requires {', '.join(_REQUIRED)}", name)


def _check_time(time: str | None) -> None:
    if time is not None:
        try:
            from_rfc3339(time)
        except BadInput as error:
            raise MalformedJob(f"time {error}", "time") from error


def _data(value: dict[str, JsonValue], content_type: str) -> tuple[JsonValue, str | None]:
    """Return the data as JSON or, if it is not JSON, in Base64: the same in every content mode."""
    encoded, data = value.get("data_base64"), value.get("data")
    if encoded is None:
        if not isinstance(data, str) or not content_type or is_json(content_type):
            return data, None
        return None, _in_base64(_octets(data, content_type))
    if value.get("data") is not None:
        raise MalformedJob(
            "data and data_base64 are both given: expected only one of them", "data_base64"
        )
    try:
        raw = base64.b64decode(encoded if isinstance(encoded, str) else "?", validate=True)
    except ValueError as error:
        raise MalformedJob("data_base64 is not a string of base64", "data_base64") from error
    if raw and is_json(content_type):
        return read_strict(raw), None
    return None, _in_base64(raw)


def _octets(text: str, content_type: str) -> bytes:
    """Return the bytes as which a text of a media type is sent, if it is sent by itself."""
    declared = _CHARSET.search(content_type)
    charset = declared[1].lower() if declared else ""
    try:
        return text.encode(charset if charset in _CHARSETS else "utf-8")
    except UnicodeError as error:
        raise MalformedJob(
            f"data has characters that charset {charset} cannot encode", "data"
        ) from error


def _in_base64(raw: bytes) -> str | None:
    return base64.b64encode(raw).decode() or None


def _check_size(envelope: Envelope) -> None:
    size = len(encode(envelope.to_cloudevent()))
    if size > MAX_DATA_BYTES:
        message = f"the envelope has {size} bytes as JSON; the limit is {MAX_DATA_BYTES}"
        raise MalformedJob(message, "data")
