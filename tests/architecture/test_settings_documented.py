"""docs/operating.md lists every setting, with its default and what it accepts."""

from __future__ import annotations

import re
from pathlib import Path

from hms_svc.settings import READERS, load_settings

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "operating.md"
ROW = re.compile(r"^\| `(\w+)` \| (.*?) \| (.*?) \| .+ \|$", re.MULTILINE)
OF_THIS_MACHINE = {
    "data_dir": "(the user's data directory)",
    "actor": "(the login name)",
}


def test_the_table_is_that_of_the_settings() -> None:
    rows = ROW.findall(DOCUMENT.read_text(encoding="utf-8"))
    expected = [(name, default_of(name), accepted_by(name)) for name in READERS]
    assert rows == expected


def default_of(name: str) -> str:
    if name in OF_THIS_MACHINE:
        return OF_THIS_MACHINE[name]
    environment = {"HMS_SVC_CONFIG": "", "HMS_SVC_DATA_DIR": "/DATA_DIR", "HMS_SVC_ACTOR": "me"}
    value = getattr(load_settings(environ=environment).settings, name)
    if value in (None, "", ()):
        return "(none)"
    if isinstance(value, tuple):
        value = ",".join(value)
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"`{text}`".replace("//DATA_DIR", "/DATA_DIR")


def accepted_by(name: str) -> str:
    try:
        READERS[name](object())
    except ValueError as error:
        return str(error)
    raise AssertionError(f"{name} accepts anything")
