"""Mutant: what is rescued is not counted back."""

from __future__ import annotations

from hms_svc.brokers.codes import PROCESSING, QUEUED
from hms_svc.brokers.sqlite.transaction import FileTransaction
from tests.chaos.app import app

__all__ = ["app"]
_move = FileTransaction.move


def move(
    self: FileTransaction, queue: int, source: int | None, target: int | None, count: int = 1
) -> None:
    if (source, target) != (PROCESSING, QUEUED):
        _move(self, queue, source, target, count)


FileTransaction.move = move  # type: ignore[method-assign]  # a mutant replaces the method
