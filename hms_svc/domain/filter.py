"""The one filter language of console, CLI and HTTP: `state:dead type:pothole.* error~timeout`.

A blank between terms means AND; `OR`, `-` or `NOT`, and parentheses are available
as well. `:` is equality (with `*` and `?`, and commas between alternatives), `~`
contains, `<` and `>` compare; a bare word is searched for in id, detail and
failure. Quotes make a value plain text.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from hms_svc.domain.causes import GROUPED
from hms_svc.domain.filter_parser import And, Node, Not, Or, Term, Text, parse
from hms_svc.domain.filter_terms import Subject, read_states, read_types
from hms_svc.domain.globs import has_globs
from hms_svc.domain.lifecycle import State
from hms_svc.domain.prefilter import Condition, prefilter_of
from hms_svc.domain.views import JobView

Found = TypeVar("Found", str, State)
_ALL_STATES: Final = frozenset(State)


class Filter(msgspec.Struct, frozen=True, eq=False):
    """One parsed filter. `text` is the expression as written, for the audit record and messages."""

    text: str
    root: Node | None
    weight: int = 0

    def matches(self, view: JobView, now_ms: int) -> bool:
        """Return whether the job matches; `now_ms` (Unix ms) is what ages are measured from."""
        return self.judge(view, now_ms)[0]

    def judge(self, view: JobView, now_ms: int) -> tuple[bool, int]:
        """Return whether the job matches, and the work that it took, in characters examined.

        Raises FilterTooCostly if one job takes more work than a filter may.
        """
        if self.root is None:
            return True, 0
        subject = Subject(view, now_ms)
        return _holds(self.root, subject), subject.work

    def effort(self, view: JobView) -> int:
        """Return an upper estimate of the work of judging this job, in characters examined."""
        texts = len(view.data) + len(view.detail) + len(view.failure)
        return self.weight * (texts + 500)

    def states(self) -> frozenset[State] | None:
        """Return the states that a matching job can have, None if it may be any."""
        return None if self.root is None else _narrow(self.root, _states_of, negated=False)

    def types(self) -> tuple[str, ...] | None:
        """Return types or globs (`*`, `?`) of which every match fits one, None if there are none."""
        found = None if self.root is None else _narrow(self.root, _types_of, negated=False)
        return None if found is None else tuple(sorted(found))

    def ids(self) -> tuple[str, ...] | None:
        """Return ids to one of which every match belongs, None if it may have any."""
        return self._exact("id")

    def causes(self) -> tuple[str, ...] | None:
        """Return failure groups to one of which every match belongs, None if it may be in any or none."""
        causes, states = self._named("cause"), self.states()
        is_empty = states is not None and states.isdisjoint(GROUPED)
        return () if causes is not None and is_empty else causes

    def batches(self) -> tuple[str, ...] | None:
        """Return batches to one of which every match belongs, None if it may be in any or none."""
        return self._named("batch")

    def unserved(self) -> tuple[str, ...]:
        """Return the terms that the chosen index does not serve, in their order.

        Answering them means reading records. One index is walked: the ids named (then
        no other record is read), else the failure groups, else the batches, else states and types.
        """
        if self.root is None or self.ids() is not None:
            return ()
        indexes = _BY_STATE if self.batches() is None else _BY_BATCH
        if self.causes() is not None:
            indexes = _BY_CAUSE
        return tuple(_unserved(self.root, indexes, negated=False))

    def prefilter(self, now_ms: int) -> Condition | None:
        """Return a cheap condition that every match meets, None if the chosen index serves all terms, or there is none."""
        if self.root is None or not self.unserved():
            return None
        return prefilter_of(self.root, now_ms)

    def _named(self, field: str) -> tuple[str, ...] | None:
        """Return groups to one of which every match belongs, None if it may be in none: that has the name ""."""
        found = self._exact(field)
        return None if found is None or "" in found else found

    def _exact(self, field: str) -> tuple[str, ...] | None:
        if self.root is None:
            return None
        found = _narrow(self.root, partial(_texts_of, field), negated=False)
        return None if found is None else tuple(sorted(found))


EVERYTHING: Final = Filter("", None)
"""The filter that matches every job."""


def parse_filter(text: str) -> Filter:
    """Parse a filter expression; blank text is EVERYTHING. Raises BadFilter with the position."""
    root = parse(text)
    return EVERYTHING if root is None else Filter(text, root, _weight(root))


def _holds(node: Node, subject: Subject) -> bool:
    if isinstance(node, Term | Text):
        subject.spend(0)
        return node.test(subject)
    if isinstance(node, And):
        return all(_holds(part, subject) for part in node.parts)
    if isinstance(node, Or):
        return any(_holds(part, subject) for part in node.parts)
    return not _holds(node.part, subject)


def _narrow(
    node: Node, of_term: Callable[[Term, bool], frozenset[Found] | None], *, negated: bool
) -> frozenset[Found] | None:
    if isinstance(node, Text):
        return None
    if isinstance(node, Term):
        return of_term(node, negated)
    if isinstance(node, Not):
        return _narrow(node.part, of_term, negated=not negated)
    parts = [_narrow(part, of_term, negated=negated) for part in node.parts]
    known = [part for part in parts if part is not None]
    if isinstance(node, And) is not negated:
        return _tightest(known)
    return frozenset().union(*known) if len(known) == len(parts) else None


def _tightest(known: list[frozenset[Found]]) -> frozenset[Found] | None:
    if not known:
        return None
    shared = frozenset.intersection(*known)
    # Two globs may overlap without sharing a text; only sets of states intersect exactly.
    exact = all(isinstance(item, State) for item in frozenset().union(*known))
    return shared if exact else min(known, key=len)


def _states_of(term: Term, negated: bool) -> frozenset[State] | None:
    if term.field == "state":
        states = read_states(term.value)
        return _ALL_STATES - states if negated else states
    if term.field == "validator" and not negated:
        return frozenset({State.REJECTED})
    return None


def _types_of(term: Term, negated: bool) -> frozenset[str] | None:
    return None if negated or term.field != "type" else frozenset(read_types(term.value))


def _texts_of(field: str, term: Term, negated: bool) -> frozenset[str] | None:
    if negated or term.field != field or term.operator != ":":
        return None
    texts = term.value.alternatives()
    has_glob = not term.value.literal and any(map(has_globs, texts))
    return None if has_glob else frozenset(texts)


def _grouped_of(term: Term, negated: bool) -> frozenset[State] | None:
    states = _states_of(term, negated)
    return states if states is not None and states >= GROUPED else None


Indexes: TypeAlias = tuple[Callable[[Term, bool], frozenset[Any] | None], ...]
_BY_STATE: Final[Indexes] = (_states_of, _types_of)
_BY_BATCH: Final[Indexes] = (partial(_texts_of, "batch"),)
_BY_CAUSE: Final[Indexes] = (partial(_texts_of, "cause"), _grouped_of)


def _unserved(node: Node, indexes: Indexes, *, negated: bool) -> list[str]:
    if isinstance(node, Text | Term):
        return [] if _is_served(node, indexes, negated=negated) else [node.text]
    if isinstance(node, Not):
        return _unserved(node.part, indexes, negated=not negated)
    if isinstance(node, Or) is not negated and not _is_served(node, indexes, negated=negated):
        return _terms_of(node)
    return [text for part in node.parts for text in _unserved(part, indexes, negated=negated)]


def _is_served(node: Node, indexes: Indexes, *, negated: bool) -> bool:
    if isinstance(node, Term) and node.field == "validator":
        return False
    return any(_narrow(node, index, negated=negated) is not None for index in indexes)


def _weight(node: Node) -> int:
    """Return how often the terms examine each character of a text, at most."""
    if isinstance(node, Term):
        value = node.value
        tries = not value.literal and "?" in value.text and "*" in value.text
        return len(value.text) if tries else 1
    if isinstance(node, Text):
        return 1
    return sum(map(_weight, (node.part,) if isinstance(node, Not) else node.parts))


def _terms_of(node: Node) -> list[str]:
    if isinstance(node, Text | Term):
        return [node.text]
    parts = (node.part,) if isinstance(node, Not) else node.parts
    return [text for part in parts for text in _terms_of(part)]
