"""Declarations are held to types and ranges where they stand, and told by file and line."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.errors import BadInput, BadSetting, Outage
from hms_svc.domain.outcome import Cancel
from hms_svc.domain.uniqueness import Debounce, Unique
from hms_svc.sdk.job_type import JobType
from hms_svc.sdk.registry import Registry


class Fee(BaseModel):
    amount: int


class Counter:
    def __call__(self, job: Any) -> int:
        return 1


class Silent:
    def __repr__(self) -> str:
        return "Silent()"


class OperatorHarness:
    def charge(self, job: Any) -> int:
        return 1

    def two(self, job: Any, more: Any) -> int:
        return 2


def charge(job: Any) -> int:
    return 1


def one(payload: Any) -> str:
    return "key"


def two(payload: Any, more: Any) -> str:
    return "key"


def counts(job: Any) -> Iterator[int]:
    yield 1


async def streams(job: Any) -> AsyncIterator[int]:
    yield 1


async def later(payload: Any) -> str:
    return "key"


async def late_delay(attempt: int, error: BaseException) -> float:
    return 1.0


def wrong(value: Any) -> Any:
    """A value that a type checker would refuse."""
    return value


def only_named(*, job: Any = None) -> int:
    return 1


DAILY = "0 3 * * *"
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"payload": dict}, "payload dict is not a class derived from pydantic.BaseModel"),
    ({"payload": Fee(amount=1)}, "payload Fee"),
    (
        {"validators": ["x"]},
        "validators[0] 'x' is not a function that takes one argument, the payload",
    ),
    ({"validators": "x"}, "validators 'x' is not a list or tuple of functions"),
    ({"validators": 5}, "validators 5 is not a list"),
    ({"validators": (one, two)}, "validators[1] two (tests/unit/test_declarations.py:"),
    ({"validators": (counts,)}, "is a generator function, which would accept everything"),
    ({"action": 5}, "action 5 is not the name of an action"),
    ({"action": " "}, "action ' ' is not the name of an action"),
    ({"retry": 5}, "retry 5 is not a RetryPolicy, such as RetryPolicy(max_attempts=5)"),
    ({"retry": RetryPolicy(max_attempts=0)}, "retry.max_attempts 0 is not a whole number from 1"),
    ({"retry": RetryPolicy(max_attempts=True)}, "retry.max_attempts True"),
    ({"retry": RetryPolicy(max_attempts=1001)}, "retry.max_attempts 1001"),
    ({"retry": RetryPolicy(base_seconds=-1)}, "retry.base_seconds -1 is not a number of seconds"),
    ({"retry": RetryPolicy(cap_seconds=float("nan"))}, "retry.cap_seconds nan"),
    ({"retry": RetryPolicy(cap_seconds=1e300)}, "retry.cap_seconds 1e+300"),
    ({"retry": RetryPolicy(within_seconds=0)}, "retry.within_seconds 0 is not a number of seconds"),
    ({"retry": RetryPolicy(within_seconds=float("inf"))}, "retry.within_seconds inf"),
    (
        {"retry": RetryPolicy(give_up_on=wrong(KeyError))},
        "retry.give_up_on KeyError is not a tuple",
    ),
    (
        {"retry": RetryPolicy(give_up_on=wrong((dict,)))},
        "retry.give_up_on[0] dict is not an exception",
    ),
    ({"retry": RetryPolicy(retry_on=wrong(["OSError"]))}, "retry.retry_on[0] 'OSError' is not an"),
    ({"retry": RetryPolicy(retry_on=(OSError, Outage))}, "retry.retry_on[1] Outage is not decided"),
    ({"retry": RetryPolicy(give_up_on=(Cancel,))}, "retry.give_up_on[0] Cancel is not decided by"),
    (
        {"retry": RetryPolicy(give_up_on=(OSError,), retry_on=(KeyError, OSError))},
        "retry.retry_on OSError is in give_up_on as well",
    ),
    ({"retry": RetryPolicy(backoff=wrong(5))}, "retry.backoff 5 is not a function, or a tuple of"),
    ({"retry": RetryPolicy(backoff=())}, "retry.backoff () is not a function, or a tuple of"),
    ({"retry": RetryPolicy(backoff=wrong("12"))}, "retry.backoff '12' is not a function"),
    ({"retry": RetryPolicy(backoff=(1, -1))}, "retry.backoff[1] -1 is not a number of seconds"),
    ({"retry": RetryPolicy(backoff=wrong(one))}, "retry.backoff one (tests/unit/test_declarations"),
    ({"retry": RetryPolicy(backoff=wrong(late_delay))}, "is not a plain function that returns sec"),
    ({"timeout_seconds": -3}, "timeout_seconds -3 is not a number of seconds above 0"),
    ({"timeout_seconds": 0}, "timeout_seconds 0"),
    ({"timeout_seconds": "10"}, "timeout_seconds '10'"),
    ({"timeout_seconds": float("inf")}, "timeout_seconds inf"),
    ({"timeout_seconds": True}, "timeout_seconds True"),
    ({"timeout_seconds": 604_801}, "timeout_seconds 604801"),
    ({"priority": 1001}, "priority 1001 is not a whole number from -1000 to 1000"),
    ({"priority": True}, "priority True"),
    ({"priority": 1.5}, "priority 1.5"),
    ({"priority": None}, "priority None"),
    ({"slots": 0}, "slots 0 is not a whole number from 1 to 10000"),
    ({"slots": True}, "slots True"),
    ({"slots": 2.0}, "slots 2.0"),
    ({"unique": "key"}, "unique 'key' is not a function that takes one argument, the payload"),
    ({"unique": two}, "unique two (tests/unit/test_declarations.py:"),
    ({"unique": Unique("key")}, "unique.key 'key' is not a function that takes one argument"),  # type: ignore[arg-type]  # the mistake under test
    (
        {"unique": Unique(one, until="done")},  # type: ignore[arg-type]  # the mistake under test
        """unique.until 'done' is not "ended", "started" or "window\"""",
    ),
    ({"unique": Unique(one, "window")}, 'unique.window_seconds None is needed with until="window"'),
    ({"unique": Unique(one, window_seconds=0)}, "unique.window_seconds 0 is not a number of sec"),
    ({"unique": Debounce(one, 0)}, "unique.seconds 0 is not a number of seconds, 0.01 to 604800"),
    ({"unique": Debounce(one, 9, 8)}, "unique.most_seconds 8 is less than seconds, 9"),
    ({"weight": 0}, "weight 0 is not a whole number from 1 to 1000"),
    ({"overlap": "never"}, """overlap 'never' is not "allow" or "skip\""""),
    ({"catch_up": 101}, "catch_up 101 is not a whole number of runs from 0 to 100"),
    ({"unique": later}, "is not a plain function that returns the key at once"),
    ({"unique": counts}, "is not a plain function that returns the key at once"),
    ({"time_zone": "Nowhere"}, "time zone 'Nowhere' is unknown"),
    ({"time_zone": 5}, "time_zone 5 is not text"),
    ({"schedule": DAILY, "time_zone": "Mars/Olympus"}, "time zone 'Mars/Olympus'"),
    ({"schedule": 5}, "schedule 5 is not text"),
    ({"schedule": "* *"}, "schedule '* *' does not have five fields"),
    ({"schedule": DAILY, "schedule_data": {1}}, "schedule_data {1} is not JSON"),
    ({"schedule_data": float("nan")}, "schedule_data nan is not JSON"),
    ({"schedule": DAILY, "payload": Fee}, "schedule_data None does not match Fee"),
    ({"schedule": DAILY, "payload": Fee, "schedule_data": {"amount": "x"}}, "data.amount"),
    ({"version": 0}, "version 0 is not a whole number from 1 to 1000"),
    ({"version": "2"}, "version '2' is not a whole number"),
    ({"version": 2}, "version 2 has no upgrade from version 1"),
    ({"version": 4, "upgrade": {1: one, 3: one}}, "version 4 has no upgrade from version 2"),
    ({"upgrade": {1: one}}, "upgrade 1 is not a version before 1, the declared one"),
    ({"version": 2, "upgrade": {"1": one}}, "upgrade '1' is not a version before 2"),
    ({"version": 2, "upgrade": [one]}, "is not a dict of functions, such as {1: add_email}"),
    ({"version": 2, "upgrade": {1: 5}}, "upgrade[1] 5 is not a function that takes the data"),
    ({"version": 2, "upgrade": {1: two}}, "upgrade[1] two (tests/unit/test_declarations.py:"),
    ({"version": 2, "upgrade": {1: later}}, "is not a plain function that returns the data"),
    ({"replace": "yes"}, "replace 'yes' is not True or False"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_an_argument_that_cannot_be_meant_is_named_with_its_place(
    arguments: dict[str, Any], said: str
) -> None:
    registry = Registry()
    with pytest.raises(BadInput) as caught:
        registry.job("fee.charge", **arguments)(charge)
    line = charge.__code__.co_firstlineno
    begins = f"tests/unit/test_declarations.py:{line}: type fee.charge: "
    assert str(caught.value).startswith(begins)
    assert said in str(caught.value)
    assert len(registry) == 0


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (5, "handler 5 is not a function"),
        (Silent(), "handler Silent() is not a function"),
        (Fee, "handler Fee is not a function"),
        (two, "must take the running job or no argument"),
        (OperatorHarness().two, "must take the running job or no argument"),
        (only_named, "must take the running job or no argument"),
        (counts, "is a generator function"),
        (streams, "is a generator function"),
    ],
)
def test_a_handler_that_could_not_be_called_is_refused(handler: Any, said: str) -> None:
    with pytest.raises(
        BadInput, match=r"test_declarations\.py:[0-9]+: type fee\.charge: "
    ) as caught:
        Registry().job("fee.charge")(handler)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "handler",
    [
        charge,
        later,
        Counter(),
        OperatorHarness().charge,
        functools.partial(two, more=1),
        lambda: 1,
        lambda job, more=1: 1,
        lambda *jobs: 1,
        print,
    ],
)
def test_a_handler_takes_the_job_or_nothing(handler: Callable[..., Any]) -> None:
    registry = Registry()
    assert registry.job("fee.charge")(handler) is handler
    assert registry.get("fee.charge") is not None


def test_all_that_may_be_declared_is_taken() -> None:
    registry = Registry()
    registry.job(
        "fee.charge",
        payload=Fee,
        validators=[one, later, Counter()],
        action="charge_fee",
        retry=RetryPolicy(max_attempts=1, base_seconds=0, cap_seconds=0),
        timeout_seconds=0.5,
        priority=-1000,
        unique=one,
        schedule=DAILY,
        schedule_data={"amount": 1},
        time_zone="Europe/Paris",
    )(charge)
    [declared] = registry
    assert (declared.priority, len(declared.validators)) == (-1000, 3)


@pytest.mark.parametrize("type", ["Fee Charge", "", 5, None, "x" * 129])
def test_a_type_that_is_none_is_refused_with_its_place(type: Any) -> None:
    with pytest.raises(BadInput, match=r"test_declarations\.py:[0-9]+: type .*: type "):
        Registry().job(type)(charge)


def test_the_decorator_without_a_type_is_refused() -> None:
    bare: Any = Registry().job
    with pytest.raises(
        BadInput, match=r"test_declarations\.py:[0-9]+: .* takes the name of the type"
    ):
        bare(charge)


def test_what_is_added_without_the_decorator_is_held_to_the_same() -> None:
    with pytest.raises(BadInput, match="timeout_seconds -3"):
        Registry().add(JobType(type="fee.charge", handler=charge, timeout_seconds=-3))


def test_a_type_declared_twice_names_both_places() -> None:
    registry = Registry()
    registry.job("fee.charge")(charge)
    with pytest.raises(BadInput) as caught:
        registry.job("fee.charge", replace=True)(one)
    told = str(caught.value)
    for handler in (charge, one):
        assert f"test_declarations.py:{handler.__code__.co_firstlineno}" in told


def test_a_type_of_two_registries_is_refused_unless_one_replaces_the_other() -> None:
    older, newer, replacing = Registry(), Registry(), Registry()
    older.job("fee.charge")(charge)
    newer.job("fee.charge")(one)
    replacing.job("fee.charge", replace=True)(later)
    with pytest.raises(BadSetting, match=r"or replace it with job\(…, replace=True\)") as caught:
        older.include(newer)
    for handler in (charge, one):
        assert f"test_declarations.py:{handler.__code__.co_firstlineno}" in str(caught.value)
    older.include(older)
    assert not older.replacements
    older.include(replacing)
    [replaced] = older.replacements
    assert older.get("fee.charge") is replacing.get("fee.charge")
    assert str(replaced).startswith("type fee.charge of tests/unit/test_declarations.py:")
