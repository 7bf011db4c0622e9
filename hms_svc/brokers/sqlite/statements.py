"""The statements in `sql/`, with the constants of the program in place of their names in braces."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from hms_svc.brokers import codes, limits
from hms_svc.brokers.failures import SLOT_MS, SLOTS
from hms_svc.domain.causes import FAILED, GROUPED
from hms_svc.domain.event import AUDIT_SEALED
from hms_svc.domain.lifecycle import REASON_GOVERNANCE, State
from hms_svc.domain.verdict import DENIED
from hms_svc.sqlite.statements import split_statements

_NAME: Final = re.compile(r"\{([A-Z_]+)\}")
_PART: Final = re.compile(r"^-- part: ([A-Z_]+)\n(.*?)\n\n", re.MULTILINE | re.DOTALL)


def _codes_of(states: frozenset[State]) -> str:
    return ", ".join(str(code) for state, code in codes.CODE_OF.items() if state in states)


CONSTANTS: Final[dict[str, str | int]] = {
    **{state.name: code for state, code in codes.CODE_OF.items()},
    "DISCARDED": codes.DISCARDED,
    "FIRST_TERMINAL": codes.FIRST_TERMINAL,
    "HOLDS_KEY": f"(unique_until = 0 AND state < {codes.FIRST_TERMINAL}"
    f" OR unique_until = 1 AND state <= {codes.QUEUED} AND fence = 0)",
    "FAILED": _codes_of(FAILED),
    "GROUPED": _codes_of(GROUPED),
    "GROUPED_NAMES": ", ".join(sorted(f"'{state}'" for state in GROUPED)),
    "EACH_STATE": ", ".join(f"({code})" for code in (*codes.STATE_OF, codes.DISCARDED)),
    "PRIORITY_STEP": codes.PRIORITY_STEP,
    "SUSPECT_BAND": codes.SUSPECT_BAND,
    "LOWEST_SUSPECT": codes.LOWEST_SUSPECT,
    "LIMITED": codes.LIMITED,
    "LOWEST_LIMITED": codes.LOWEST_LIMITED,
    "PROCESSING_NAME": State.PROCESSING.value,
    "HISTORY_MOST": limits.HISTORY_MOST,
    "HISTORY_KEPT": limits.HISTORY_KEPT,
    "PROGRESS_LINES": limits.PROGRESS_LINES,
    "MOST_AHEAD": limits.MOST_AHEAD,
    "MOST_RUNNING": limits.MOST_RUNNING,
    "LIMITS_AT_ONCE": limits.LIMITS_AT_ONCE,
    "SLOT_MS": SLOT_MS,
    "SLOTS": SLOTS,
    "REASON_GOVERNANCE": REASON_GOVERNANCE,
    "DENIED": DENIED,
    "AUDIT_SEALED": AUDIT_SEALED,
}
"""What the statements may name."""


def text_of(file: str) -> str:
    """Return the text of a file with constants and its own parts filled in; KeyError for an unknown name.

    A part, under a line `-- part: NAME`, is what several statements of the file share; an empty line ends it.
    """
    text = files(__package__).joinpath("sql", file).read_text("utf-8")
    known = dict(CONSTANTS)
    for name, part in _PART.findall(text):
        known[name] = _filled(part, known)
    return _filled(_PART.sub("", text), known)


def _filled(text: str, known: Mapping[str, str | int]) -> str:
    return _NAME.sub(lambda found: str(known[found[1]]), text)


def statements_of(file: str) -> dict[str, str]:
    """Return the statements of a file by name."""
    return split_statements(text_of(file))
