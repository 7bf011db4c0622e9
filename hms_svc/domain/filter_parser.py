"""Parser of filter expressions.

    any     = all { "OR" all }
    all     = one { [ "AND" ] one }
    one     = ( "-" | "NOT" ) one | "(" any ")" | term | word
    term    = field ( ":" | "~" | "!=" | "!~" | ">=" | "<=" | ">" | "<" ) value

A value or a word may be in double or single quotes, with a backslash before
a quote in it. `OR`, `AND` and `NOT` are upper case. `a!=b` is `-a:b`, `a!~b` is `-a~b`.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

import msgspec

from hms_svc.domain.errors import BadFilter
from hms_svc.domain.filter_terms import Test, Value, make_test, mentions
from hms_svc.domain.utf8 import has_surrogates

MAX_CHARACTERS: Final = 4000
MAX_NESTING: Final = 40
_FIELD: Final = re.compile(r"([^\W\d][\w.-]*)(!=|!~|>=|<=|[:~><])")
_BARE: Final = re.compile(r"[^\s()\"']+")
_SPACE: Final = re.compile(r"\s*")
_DENIED: Final = {"!=": ":", "!~": "~"}
_BOOLEAN_OPERATORS: Final = frozenset({"OR", "AND", "NOT"})


class Term(msgspec.Struct, frozen=True, eq=False):
    """One condition on one field; `text` is as it was written."""

    text: str
    field: str
    operator: str
    value: Value
    test: Test


class Text(msgspec.Struct, frozen=True, eq=False):
    """A bare word, searched for in id, detail and failure; `text` is as it was written."""

    text: str
    value: Value
    test: Test


class And(msgspec.Struct, frozen=True, eq=False):
    """All of the parts."""

    parts: tuple[Node, ...]


class Or(msgspec.Struct, frozen=True, eq=False):
    """One of the parts."""

    parts: tuple[Node, ...]


class Not(msgspec.Struct, frozen=True, eq=False):
    """Everything but the part."""

    part: Node


Node: TypeAlias = Term | Text | And | Or | Not


def parse(text: str) -> Node | None:
    """Parse a filter expression, None if it is blank; raises BadFilter with the position."""
    if len(text) > MAX_CHARACTERS:
        raise BadFilter(f"a filter has at most {MAX_CHARACTERS} characters", MAX_CHARACTERS)
    parser = _Parser(text)
    if has_surrogates(text):
        at = next(at for at, character in enumerate(text) if has_surrogates(character))
        raise parser.fault(f"{text[at]!a} is not text in UTF-8", at)
    if parser.at_end():
        return None
    tree = parser.any(0)
    if not parser.at_end():
        raise parser.fault("this ) has no matching (")
    return tree


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def fault(self, message: str, position: int | None = None) -> BadFilter:
        at = self._position if position is None else position
        return BadFilter(f"filter, character {at + 1}: {message}", at)

    def at_end(self) -> bool:
        found = _SPACE.match(self._text, self._position)
        self._position = found.end() if found else self._position
        return self._position >= len(self._text)

    def any(self, depth: int) -> Node:
        if depth > MAX_NESTING:
            raise self.fault(f"nested deeper than {MAX_NESTING} levels")
        parts = [self._all(depth)]
        while self._take_word("OR"):
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _all(self, depth: int) -> Node:
        parts = [self._one(depth)]
        while not self.at_end() and self._text[self._position] != ")" and not self._sees("OR"):
            self._take_word("AND")
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _one(self, depth: int) -> Node:
        if self.at_end():
            raise self.fault("a term is missing here")
        start, character = self._position, self._text[self._position]
        if depth > MAX_NESTING:
            raise self.fault(f"nested deeper than {MAX_NESTING} levels")
        if character == "-" or self._sees("NOT"):
            self._position += 1 if character == "-" else 3
            return Not(self._one(depth + 1))
        if character == "(":
            self._position += 1
            inside = self.any(depth + 1)
            if self.at_end() or self._text[self._position] != ")":
                raise self.fault("this ( is never closed", start)
            self._position += 1
            return inside
        if character == ")" or self._sees("OR") or self._sees("AND"):
            raise self.fault("expected a term here, such as state:dead")
        return self._term()

    def _term(self) -> Node:
        start = self._position
        found = _FIELD.match(self._text, start)
        if found is None:
            value = self._value()
            if not value.literal:
                self._refuse_slip(value.text, start)
            return Text(self._text[start : self._position], value, mentions(value.text))
        self._position = found.end()
        value = self._value()
        operator = _DENIED.get(found[2], found[2])
        try:
            test = make_test(found[1], operator, value)
        except ValueError as error:
            raise self.fault(str(error), start) from error
        term = Term(self._text[start : self._position], found[1], operator, value, test)
        return term if operator == found[2] else Not(term)

    def _refuse_slip(self, word: str, start: int) -> None:
        """Reject a bare word that probably means more: a guess would act on the wrong jobs."""
        if word.upper() in _BOOLEAN_OPERATORS:
            raise self.fault(f'write {word.upper()}, or "{word}" for the word itself', start)
        name, equals, rest = word.partition("=")
        if equals and (_FIELD.match(f"{name}:") is not None):
            raise self.fault(f'write {name}:{rest}, or "{word}" for the text itself', start)

    def _value(self) -> Value:
        quote = self._text[self._position : self._position + 1]
        if quote and quote in "\"'":
            return Value(self._quoted(quote), literal=True)
        found = _BARE.match(self._text, self._position)
        if found is None:
            raise self.fault('expected a value here (an empty one is "")')
        self._position = found.end()
        return Value(found[0])

    def _quoted(self, quote: str) -> str:
        start = self._position
        pieces: list[str] = []
        self._position += 1
        while self._position < len(self._text):
            character = self._text[self._position]
            self._position += 1
            if character == quote:
                return "".join(pieces)
            if character == "\\" and self._position < len(self._text):
                character = self._text[self._position]
                self._position += 1
            pieces.append(character)
        raise self.fault("this quote is never closed", start)

    def _sees(self, word: str) -> bool:
        found = _BARE.match(self._text, self._position)
        return found is not None and found[0] == word

    def _take_word(self, word: str) -> bool:
        if self.at_end() or not self._sees(word):
            return False
        self._position += len(word)
        return True
