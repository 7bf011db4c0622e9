"""Full garbage collections of the console run between keys, and none is left to the interpreter."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from hms_svc.tui.idle_collection import IDLE_SECONDS, MAX_PENDING, MIN_PENDING, IdleCollection


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


def pend(number: int) -> None:
    for _ in range(number):
        gc.collect(1)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def collection(time: Time) -> IdleCollection:
    begun = IdleCollection(time)
    begun.begin()
    gc.collect()
    return begun


def old_garbage() -> weakref.ref[Cycle]:
    cycle = Cycle()
    pend(2)
    return weakref.ref(cycle)


def test_old_garbage_waits_until_no_key_was_pressed_for_a_while(
    collection: IdleCollection, time: Time
) -> None:
    garbage = old_garbage()
    time.seconds = 100.0
    collection.pressed()
    pend(MIN_PENDING)
    time.seconds += IDLE_SECONDS / 2
    collection.tick()
    assert garbage() is not None
    time.seconds += IDLE_SECONDS
    collection.tick()
    assert garbage() is None


def test_keys_without_a_pause_do_not_let_memory_grow(
    collection: IdleCollection, time: Time
) -> None:
    garbage = old_garbage()
    pend(MAX_PENDING)
    collection.pressed()
    collection.tick()
    assert garbage() is None


def test_nothing_is_collected_that_is_not_due(collection: IdleCollection, time: Time) -> None:
    garbage = old_garbage()
    time.seconds += 60.0
    collection.tick()
    assert garbage() is not None


def test_the_interpreter_runs_none_of_its_own(collection: IdleCollection) -> None:
    garbage = old_garbage()
    before = gc.get_stats()[2]["collections"]
    kept = [[number] for number in range(400_000)]
    assert len(kept) == 400_000
    assert gc.get_stats()[2]["collections"] == before
    assert garbage() is not None


def test_what_the_start_has_loaded_is_visited_once(collection: IdleCollection, time: Time) -> None:
    loaded = [[number] for number in range(1_000)]
    pend(MIN_PENDING)
    frozen = gc.get_freeze_count()
    time.seconds += 60.0
    collection.tick()
    assert gc.get_freeze_count() >= frozen + len(loaded)
