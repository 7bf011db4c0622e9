"""The constants of the program as Lua, for the scripts that name them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from typing import Final, TypeAlias

from hms_svc.brokers import chunks, codes, limits, refused_acts, schedules, unreported_ends
from hms_svc.brokers.failures import SLOT_MS, SLOTS
from hms_svc.brokers.redis import record
from hms_svc.brokers.redis.unique_keys import DIGEST_SIZE
from hms_svc.brokers.unreported_ends import Effects, Fate, fate_of
from hms_svc.domain import lifecycle, prefilter
from hms_svc.domain.backoff import DEFAULT_MAX_ATTEMPTS, MAX_CRASHES
from hms_svc.domain.batches import When
from hms_svc.domain.causes import FAILED, GROUPED, MOST_CAUSES, MOST_HISTORIES, OTHER_CAUSES
from hms_svc.domain.erasure import ERASED
from hms_svc.domain.event import AUDIT_SEALED
from hms_svc.domain.lifecycle import State, Trigger
from hms_svc.domain.unique_keys import REPLACED_BY
from hms_svc.domain.verdict import DENIED
from hms_svc.ports.control import BATCH_IS_CLOSED, BATCH_IS_WHOLE, MOVED_ON, NOT_KNOWN, NOT_SEEN

Value: TypeAlias = "str | int | Mapping[str, Value] | Mapping[int, Value]"
_READ_ALONE: Final = (
    "STATE",
    "SUSPECT",
    "OUTCOME_SIZE",
    "OUTCOME_AT",
    "WORKER_SIZE",
    "ATTEMPT",
    "CASE_SIZE",
    "PRIORITY",
    "ENQUEUED",
    "ENVELOPE_SIZE",
)
_SIZES: Final = {"i8": 8, "i4": 4, "I4": 4, "I2": 2, "i2": 2, "B": 1}
"""The bytes of a field, by its format in Lua."""
_WORD: Final = re.compile(r"(?<!')\b[A-Z][A-Z_]+\b(?!')")
"""A word in capitals that is not a text of its own, as the name of a command is."""


def _each(states: frozenset[State]) -> dict[int, Value]:
    return {codes.CODE_OF[state]: 1 for state in states}


def _format(fields: Mapping[str, str]) -> str:
    return "<" + "".join(fields.values())


def _texts(module: object) -> dict[str, Value]:
    """Return the texts that a module defines."""
    return {
        name: value
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str)
    }


def _fates() -> dict[str, Value]:
    """Return `fate_of` as a table; the keys are 1 for exhausted, 1 for requested, and the effects."""
    return {
        f"{exhausted} {requested} {effects}": fate_of(
            exhausted=bool(exhausted), requested=bool(requested), effects=effects
        )
        for exhausted, requested, effects in product((0, 1), (0, 1), Effects)
    }


def _places() -> dict[str, Value]:
    """Return where those fields of the head begin that are read without the others, counted from 1."""
    formats = record.CHANGING | record.ACCEPTED
    sizes = [_SIZES[each] for each in formats.values()]
    places = {name: 1 + sum(sizes[:number]) for number, name in enumerate(formats)}
    return {f"AT_{name}": places[name] for name in _READ_ALONE}


_PARSED: Final = (
    "WORKER",
    "CAUSE",
    "TYPE",
    "UNIQUE",
    "BATCH",
    "CASE",
    "APPROVED",
    "TYPE_AT",
    "ENVELOPE_AT",
    "CASE_AT",
    "RECORD",
)
"""What `parse` adds to the fields of the head: texts, where texts begin, and the record."""
CONSTANTS: Final[dict[str, Value]] = {
    **{state.name: code for state, code in codes.CODE_OF.items()},
    "DISCARDED": codes.DISCARDED,
    "LAST_STATE": codes.DISCARDED,
    "NAMES": {code: state.value for state, code in codes.CODE_OF.items()}
    | {codes.DISCARDED: "discarded"},
    "TERMINAL": _each(lifecycle.TERMINAL),
    "FAILED": _each(FAILED),
    "GROUPED": _each(GROUPED),
    "PRIORITY_STEP": codes.PRIORITY_STEP,
    **{name: number for number, name in enumerate(record.HEAD, 1)},
    **{name: name.lower() for name in _PARSED},
    **_places(),
    "FRONT_READ": 2048,
    "FIELD_COUNT": len(record.HEAD),
    "CHANGING_COUNT": len(record.CHANGING),
    "HEAD_FORMAT": _format(record.CHANGING | record.ACCEPTED),
    "HEAD_SIZE": record.HEAD_SIZE,
    "CHANGING_FORMAT": _format(record.CHANGING),
    "CHANGING_SIZE": record.CHANGING_SIZE,
    "FRONT_FORMAT": _format(record.FRONT),
    "SETTLED_FORMAT": _format(record.SETTLED),
    "SETTLED_SIZE": record.SETTLED_SIZE,
    "POSITION_FORMAT": "<" + record.SETTLED["POSITION"],
    "NO_TIME": record.NO_TIME,
    "NO_CAUSE": record.NO_CAUSE,
    "REFUSED_BYTES": record.REFUSED_BYTES,
    **{f"TRIGGER_{trigger.name}": trigger.value for trigger in Trigger},
    **{name: text for name, text in _texts(lifecycle).items() if name.startswith("REASON_")},
    "BESIDE_CASE": lifecycle.BESIDE_CASE,
    **{f"END_{name}": text for name, text in _texts(unreported_ends).items()},
    **{f"FATE_{fate.name}": fate.value for fate in Fate},
    "FATES": _fates(),
    **_texts(refused_acts),
    **_texts(schedules),
    "NOT_KNOWN": NOT_KNOWN,
    "BATCH_IS_WHOLE": BATCH_IS_WHOLE,
    "BATCH_IS_CLOSED": BATCH_IS_CLOSED,
    "MOVED_ON": MOVED_ON,
    "NOT_SEEN": NOT_SEEN,
    "DENIED": DENIED,
    "ERASED": ERASED.decode(),
    "WHEN_ENDED": When.ENDED.value,
    "AUDIT_SEALED": AUDIT_SEALED,
    "OTHER_CAUSES": OTHER_CAUSES,
    "MAX_CRASHES": MAX_CRASHES,
    "DEFAULT_MAX_ATTEMPTS": DEFAULT_MAX_ATTEMPTS,
    "MOST_CAUSES": MOST_CAUSES,
    "MOST_HISTORIES": MOST_HISTORIES,
    "MOST_EVENTS": limits.MOST_EVENTS,
    "HISTORY_MOST": limits.HISTORY_MOST,
    "HISTORY_KEPT": limits.HISTORY_KEPT,
    "PROGRESS_LINES": limits.PROGRESS_LINES,
    "EXPIRED_AT_ONCE": limits.EXPIRED_AT_ONCE,
    "STALE_MS": limits.STALE_MS,
    "STEPS_KEPT_SECONDS": limits.STEPS_KEPT_SECONDS,
    "LIMITED": codes.LIMITED,
    "DIGEST_SIZE": DIGEST_SIZE,
    "REPLACED_BY": REPLACED_BY,
    "LIMIT_CHECK_MS": limits.LIMIT_CHECK_MS,
    "LIMIT_SAMPLE": limits.LIMIT_SAMPLE,
    "BATCH_SAMPLE": limits.BATCH_SAMPLE,
    "LIMITS_AT_ONCE": limits.LIMITS_AT_ONCE,
    "LET_IN_AT_ONCE": limits.LET_IN_AT_ONCE,
    "QUEUED_INDEXES": {1: "suspects", codes.LIMITED: "limited"},
    "MOST_BYTES": chunks.MOST_BYTES,
    "MOST_CHECKED_BYTES": chunks.MOST_BYTES // 8,
    "MOST_PARSED_BYTES": prefilter.MOST_PARSED_BYTES,
    "SLOT_MS": SLOT_MS,
    "SLOTS": SLOTS,
}
"""What the scripts may name."""


def with_constants(script: str) -> str:
    """Return a script with the value of each number and text that it names.

    They stand in place of their names, because a script may have 200 local variables.
    """
    return _WORD.sub(lambda found: _IN_PLACE.get(found[0], found[0]), script)


def _literal(value: Value) -> str:
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return f"'{value.translate({39: chr(92) + chr(39), 92: chr(92) * 2})}'"
    is_list = list(value) == list(range(1, len(value) + 1))
    items = (
        _literal(of) if is_list else f"[{_literal(key)}] = {_literal(of)}"
        for key, of in value.items()
    )
    return "{ " + ", ".join(items) + " }"


_IN_PLACE: Final = {
    name: _literal(value) for name, value in CONSTANTS.items() if not isinstance(value, Mapping)
}
TABLES: Final = "".join(
    f"local {name} = {_literal(value)}\n"
    for name, value in CONSTANTS.items()
    if isinstance(value, Mapping)
)
"""All tables, as statements of Lua."""
