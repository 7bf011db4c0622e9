"""Leaves out of a script the shared definitions that it does not use, and defers those that it rarely uses.

Redis runs a script from its first line at each call, so each definition costs time in each call.
A definition begins at the start of a line, with the name by which others use it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec

_BEGINS: Final = re.compile(r"^(?=(?!end\b|else)[a-z])", re.MULTILINE)
_COMMENT: Final = re.compile(r"^[ \t]*--.*\n?", re.MULTILINE)
_NAMES: Final = re.compile(
    r"local function (?P<own>\w+)|function (?P<field>[\w.]+)|local (?P<locals>\w+(?:, \w+)*)"
    r"|(?P<value>\w+\.\w+) ="
)
_WORD: Final = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*")
_RARE: Final = re.compile(r"^-- rarely +(.+(?:\n-- {3,}.+)*)", re.MULTILINE)
_DEFERRED: Final = """{head}(...)
  rarely()
  return {name}(...)
end
"""


class Part(msgspec.Struct, frozen=True):
    """One statement: the names that it defines, none if it is always executed, and what it uses."""

    text: str
    names: tuple[str, ...]
    uses: frozenset[str]

    @property
    def is_function(self) -> bool:
        """Whether it defines a function."""
        return self.text.startswith(("local function ", "function "))


def parts_of(shared: str) -> list[Part]:
    """Return the statements of the shared text."""
    code = _COMMENT.sub("", shared)
    begins = [found.start() for found in _BEGINS.finditer(code)]
    texts = [
        code[begin:end].rstrip() + "\n"
        for begin, end in zip(begins, [*begins[1:], None], strict=True)
    ]
    return [Part(text, _names(text), _uses(text)) for text in texts]


def rarely_used(script: str) -> frozenset[str]:
    """Return the names of the shared functions that a script rarely uses, by its header."""
    found = _RARE.search(script)
    return frozenset(_WORD.findall(found[1].replace("\n--", ""))) if found else frozenset()


def linked(parts: Sequence[Part], script: str) -> str:
    """Return a script with the shared statements that it uses in front of it, in their order.

    What only functions use that the script rarely uses is in a function `rarely`, which the first call of
    one of them executes.
    """
    rare = rarely_used(script)
    script = _COMMENT.sub("", script)
    by_name = defaultdict[str, list[Part]](list)
    for part in parts:
        for name in part.names:
            by_name[name].append(part)
    if unknown := rare - set(by_name):
        raise ValueError(f"no shared function is named {', '.join(sorted(unknown))}")
    always = [part for part in parts if not part.names]
    used = _reached([_uses(script), *(part.uses for part in always)], by_name, rare)
    deferred = used & rare
    later = _reached([deferred], by_name, ()) - (used - deferred)
    early, late = [], []
    for part in parts:
        if deferred.intersection(part.names):
            if part.is_function:
                late.append(part.text.removeprefix("local "))
                early.append(_DEFERRED.format(head=part.text.partition("(")[0], name=part.names[0]))
            else:
                early.append(part.text)
        elif not part.names or used.intersection(part.names):
            early.append(part.text)
        elif later.intersection(part.names):
            late.append(part.text)
    if not late:
        return "".join((*early, script))
    return "".join(("local rarely\n", *early, "function rarely()\n", *late, "end\n", script))


def _names(text: str) -> tuple[str, ...]:
    found = _NAMES.match(text)
    return tuple((found[found.lastgroup or 0]).split(", ")) if found else ()


def _uses(text: str) -> frozenset[str]:
    """Return the words of a text; one with dots is also what is in front of each dot."""
    words = set()
    for word in set(_WORD.findall(text)):
        steps = word.split(".")
        words |= {".".join(steps[: end + 1]) for end in range(len(steps))}
    return frozenset(words)


def _reached(
    begin: Iterable[Collection[str]], by_name: dict[str, list[Part]], ends: Collection[str]
) -> set[str]:
    """Return the names that are used, also by what they use; what `ends` use is not looked at."""
    reached = set[str]()
    waiting = [name for names in begin for name in names]
    while waiting:
        name = waiting.pop()
        if name in reached or name not in by_name:
            continue
        reached.add(name)
        if name not in ends:
            waiting += [used for part in by_name[name] for used in (*part.uses, *part.names)]
    return reached
