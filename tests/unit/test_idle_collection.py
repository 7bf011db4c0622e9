"""Full garbage collections of the console run between keys, and none is left to the interpreter."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from hms_svc.tui.idle_collection import (
    EVERY_SECONDS,
    IDLE_SECONDS,
    LATEST_SECONDS,
    IdleCollection,
)


@pytest.fixture(autouse=True)
def interpreter() -> Iterator[None]:
    thresholds, is_enabled = gc.get_threshold(), gc.isenabled()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    (gc.enable if is_enabled else gc.disable)()


class Cycle:
    def __init__(self) -> None:
        self.itself = self


class Time:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def collection(time: Time) -> Iterator[IdleCollection]:
    idle = IdleCollection(time)
    with idle.running():
        yield idle


def old_garbage() -> weakref.ref[Cycle]:
    cycle = Cycle()
    gc.collect(1)
    gc.collect(1)
    return weakref.ref(cycle)


def test_garbage_waits_until_there_was_no_input_for_a_while(
    collection: IdleCollection, time: Time
) -> None:
    garbage = old_garbage()
    time.seconds += EVERY_SECONDS
    collection.note_input()
    time.seconds += IDLE_SECONDS / 2
    collection.tick()
    assert garbage() is not None
    time.seconds += IDLE_SECONDS
    collection.tick()
    assert garbage() is None


def test_input_without_a_pause_does_not_let_memory_grow(
    collection: IdleCollection, time: Time
) -> None:
    garbage = old_garbage()
    time.seconds += LATEST_SECONDS
    collection.note_input()
    collection.tick()
    assert garbage() is None


def test_nothing_is_collected_again_so_soon(collection: IdleCollection, time: Time) -> None:
    time.seconds += EVERY_SECONDS
    collection.tick()
    garbage = old_garbage()
    time.seconds += EVERY_SECONDS / 2
    collection.tick()
    assert garbage() is not None


def test_outside_of_its_block_the_interpreter_collects_as_ever(time: Time) -> None:
    thresholds = gc.get_threshold()
    idle = IdleCollection(time)
    with idle.running():
        assert gc.get_threshold() != thresholds
    assert gc.get_threshold() == thresholds
    garbage = old_garbage()
    time.seconds += LATEST_SECONDS
    idle.tick()
    assert garbage() is not None
