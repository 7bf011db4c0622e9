"""Files with every answer: compared with what comes, or written anew with HMS_SVC_TEST_REDRAW=1."""

from __future__ import annotations

import difflib
import json
import os
import re
from pathlib import Path
from typing import Any, Final

from hms_svc.domain.health import TroubleKind

CAPACITY: Final = {"used": 0, "limit": 0}
FOLDER: Final = Path(__file__).parent / "answers"
REDRAW: Final = "HMS_SVC_TEST_REDRAW"
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_LINE: Final = re.compile(r"\.py:[0-9]+")
_TICK: Final = re.compile(r"\d{8}T\d{4}Z")
_UUID: Final = re.compile(
    r"(?<!case-)[0-9a-f]{8}-[0-9a-f]{4}-[57][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
)
_HOLD: Final = re.compile(r"which is [0-9]+")
_TOKEN: Final = re.compile(r"hms_[0-9a-f]{12}_[A-Za-z0-9_-]{43}")
_TOKEN_ID: Final = re.compile(r"token:[0-9a-f]{12}")
_HEX: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{32,64}(?![0-9a-f])")
_DURATION: Final = re.compile(r"(?:\d+ d )?\b\d+(\.\d)? (ms|s|m|h|min)( \d+ s)?\b")
_VARYING: Final = frozenset(
    {
        "fence",
        "last_seen_s",
        "latency_ms",
        "limit",
        "oldest_age_s",
        "p50",
        "p95",
        "p99",
        "round_trip_ms",
        "used",
    }
)
"""Members whose numbers depend on how fast the machine is, or on the broker."""

SLOW: Final = frozenset({TroubleKind.BROKER_SLOW.value, TroubleKind.DATABASE_SLOW.value})
_TOKEN_FIELDS: Final = frozenset({"revoked", "scopes", "token"})
_SORTED: Final = frozenset({"failures", "jobs"})
"""Lists by time: what moved within one millisecond stands in any order."""


def steady(value: Any, name: str = "") -> Any:
    """Return a value with what differs from run to run replaced: ids, times, durations, digests."""
    if isinstance(value, dict):
        if name == "hold":
            value = {**value, "id": "HOLD"}
        elif _TOKEN_FIELDS & set(value):
            value = {**value, "id": "ID"}
        elif name == "holds":
            value = dict.fromkeys(value, "HOLD")
        elif name == "database" and "ok" in value:
            value = {**value, "capacity": CAPACITY}
        elif name == "broker":  # the same files hold for each
            value = {**value, "kind": "sqlite", "capacity": CAPACITY}
        return {key: steady(each, key) for key, each in value.items()}
    if name == "recent":  # which five minutes it was
        return [sum(value)]
    if name == "cursor" and value is not None:
        return "CURSOR"
    if isinstance(value, list):
        value = [each for each in value if not _is_slowness(each)]
        in_order = sorted(value, key=_id) if name in _SORTED else value
        return [steady(each) for each in in_order]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 0 if name in _VARYING else value
    return _steady_text(value) if isinstance(value, str) else value


def _is_slowness(each: Any) -> bool:
    """Return whether it is a problem that a busy machine has, and another one not."""
    return isinstance(each, dict) and each.get("kind") in SLOW


def _id(each: Any) -> str:
    return str(each["id"]) if isinstance(each, dict) else str(each)


def _steady_text(text: str) -> str:
    text = _TIME.sub("2026-01-01T00:00:00.000Z", text)
    text = _LINE.sub(".py:LINE", text)
    text = _TICK.sub("20260101T0000Z", text)
    text = _UUID.sub("UUID", text)
    text = _HOLD.sub("which is HOLD", text)
    text = _TOKEN.sub("hms_TOKEN", text)
    text = _TOKEN_ID.sub("token:ID", text)
    text = _DURATION.sub("0 s", text)
    return _HEX.sub("DIGEST", text)


class Answers:
    """The answers of one front end, by name, in the order in which they came."""

    def __init__(self, folder: str) -> None:
        self._folder = FOLDER / folder
        self._found: dict[str, str] = {}

    def add(self, name: str, value: Any) -> None:
        """Take in one answer under the name of its file, without what differs from run to run."""
        self.add_whole(name, steady(value))

    def add_whole(self, name: str, value: Any) -> None:
        """Take in a value that is the same in every run."""
        assert name not in self._found, f"{name} is there already"
        self._found[name] = json.dumps(value, indent=2, ensure_ascii=False) + "\n"

    def check(self, *, partly: bool = False) -> None:
        """Hold all answers against the files, or write these; `partly`: there are files of others, too."""
        if os.environ.get(REDRAW):
            self._write()
        known = {file.stem for file in self._folder.glob("*.json")}
        assert partly or known == set(self._found), "files of answers that do not come any more"
        different = "\n".join(line for name in self._found for line in self._difference(name))
        assert not different, f"{REDRAW}=1 writes the files anew\n{different}"

    def _write(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, text in self._found.items():
            self._file(name).write_text(text, encoding="utf-8")

    def _difference(self, name: str) -> list[str]:
        file = self._file(name)
        kept = file.read_text(encoding="utf-8") if file.exists() else ""
        lines = difflib.unified_diff(
            kept.splitlines(), self._found[name].splitlines(), f"{name} (file)", name, lineterm=""
        )
        return list(lines)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"
