"""The Python examples of a page: blocks whose first line names their file."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def write_examples(page: str, folder: Path) -> list[Path]:
    """Write the examples of a page, such as `docs/handles.md`, into a folder, and return their files."""
    text = (_ROOT / page).read_text(encoding="utf-8")
    files = []
    for name, source in _BLOCK.findall(text):
        file = folder / name
        file.write_text(source, encoding="utf-8")
        files.append(file)
    assert files, f"{page} has no example"
    return files
