"""The values that labels of metrics can have: those of a registry, and `other`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

from hms_svc.domain.lifecycle import REASON_GOVERNANCE, REASON_PAYLOAD, REASON_UNIQUE
from hms_svc.domain.verdict import Effect
from hms_svc.ports.meters import LABELS, OPERATIONS, OTHER, OUTCOMES
from hms_svc.sdk.job_type import JobType
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.source_places import bare_name

_VALIDATORS_OF_OURS: Final = frozenset(
    {REASON_PAYLOAD, REASON_GOVERNANCE, REASON_UNIQUE, "duplicate"}
)


class LabelValues:
    """Types, actions and validators that have labels of their own; all others are `other`."""

    def __init__(self, registry: Registry) -> None:
        self._validators = {declared.type: _validators_of(declared) for declared in registry}
        self._actions = frozenset(
            declared.action for declared in registry if declared.action is not None
        )
        self.types = (*self._validators, OTHER)

    def action(self, action: str) -> str:
        """Return the label of an action."""
        return action if action in self._actions else OTHER

    def validator(self, type: str, reason: str) -> str:
        """Return the label of the validator that rejected a job of this type with a reason."""
        return reason if reason in self._validators.get(type, _VALIDATORS_OF_OURS) else OTHER

    def series(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Return each series that the registry's jobs can have: a metric's name, and label values."""
        for name, names in LABELS.items():
            for labels in self._combinations(names):
                yield name, labels

    def _combinations(self, names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if names == ("type", "validator"):
            for type in self.types:
                known = self._validators.get(type, _VALIDATORS_OF_OURS)
                yield from product([type], (*sorted(known), OTHER))
            return
        values = {
            "type": self.types,
            "outcome": OUTCOMES,
            "action": (*sorted(self._actions), OTHER),
            "decision": tuple(effect.value for effect in Effect),
            "operation": OPERATIONS,
        }
        yield from product(*(values[name] for name in names))


def _validators_of(declared: JobType) -> frozenset[str]:
    return _VALIDATORS_OF_OURS.union(bare_name(validator) for validator in declared.validators)
