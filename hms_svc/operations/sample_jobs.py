"""The sample jobs that come with the program, each with what it demonstrates."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

from hms_svc.domain.errors import BadInput
from hms_svc.domain.strict_json import read_strict
from hms_svc.operations.intake import Draft

README: Final = "README.md"
_PACKAGE: Final = Path(__file__).resolve().parents[1]
_PLACES: Final = (_PACKAGE / "sample_jobs", _PACKAGE.parent / "sample_jobs")
_ROW: Final = re.compile(r"\| `(?P<file>[a-z_]+\.(?:json|txt))` \| (?P<command>.*?) \| (?P<end>.*)")
_RAW_TYPE: Final = re.compile(r"--raw --type (\S+)")


class SampleJob(msgspec.Struct, frozen=True, kw_only=True):
    """One sample job: `title` names its end state and the reason.

    `text` is its JSON, or, if `raw`, bytes that are to be submitted
    unparsed. `checked` is False for one that its payload model would reject.
    """

    name: str
    title: str
    type: str
    text: str
    raw: bool = False
    checked: bool = True

    def draft(self) -> Draft:
        """Return the sample as a draft to be enqueued; raises BadInput for a raw one."""
        value = None if self.raw else read_strict(self.text.encode())
        if not isinstance(value, dict):
            raise BadInput(f"sample {self.name} is not a JSON object: submit it raw")
        return Draft(self.name, value)


def list_samples(folder: Path | None = None) -> tuple[SampleJob, ...]:
    """Return all samples in the order of their README, which lists them; empty if there is none."""
    found = folder or next((place for place in _PLACES if (place / README).is_file()), None)
    if found is None:
        return ()
    rows = map(_ROW.match, (found / README).read_text(encoding="utf-8").splitlines())
    return tuple(_read(found, row) for row in rows if row is not None)


def _read(folder: Path, row: re.Match[str]) -> SampleJob:
    file = folder / row["file"]
    text = file.read_text(encoding="utf-8")
    raw_type = _RAW_TYPE.search(row["command"])
    return SampleJob(
        name=file.stem,
        title=_title(row["end"]),
        type=raw_type[1] if raw_type else str(msgspec.json.decode(text)["type"]),
        text=text,
        raw=raw_type is not None,
        checked="--no-check" not in row["command"],
    )


def _title(cells: str) -> str:
    parts = [cell.strip().replace("`", "") for cell in cells.strip().removesuffix("|").split(" | ")]
    return ": ".join(cell for cell in parts if cell)
