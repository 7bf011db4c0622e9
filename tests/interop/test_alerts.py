"""Each alert rule, evaluated by promtool over what a running service exposes: fires when it should, and else not."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.interop.conftest import metrics
from tests.interop.parts import part

pytestmark = pytest.mark.interop
RULES: Final = Path(__file__).parents[2] / "deploy" / "prometheus" / "alerts.yml"
TARGET: Final = {"job": "hms-svc", "instance": "127.0.0.1:8710"}
EVERY_SECONDS: Final = 15
LONGEST: Final = 240
"""Steps of the series: an hour."""
NOTIFY: Final = {"type": "crew.notify"}
QUEUED: Final = {"type": "crew.notify", "state": "queued"}
SQLITE: Final = {"kind": "sqlite"}


class Change(msgspec.Struct, frozen=True):
    """What one series does instead of standing still: values as promtool writes them.

    An empty value takes the series away. A `type` that the service never had makes a new series.
    """

    name: str
    values: str
    labels: dict[str, str] = {}


class Case(msgspec.Struct, frozen=True):
    """What happens, when it is looked at, and the labels of the alerts that fire then."""

    alert: str
    what: str
    changes: tuple[Change, ...]
    at: str
    fires: tuple[dict[str, str], ...] = ()


def lag(bound: str) -> Change:
    """A loop that is late by half a second to a second, at each sample."""
    late = bound in {"1.0", "2.5", "5.0", "10.0", "+Inf"}
    values = "0+10x240" if late else "0x240"
    return Change("hms_worker_loop_lag_seconds_bucket", values, {"le": bound})


BOUNDS: Final = (
    "0.001",
    "0.0025",
    "0.005",
    "0.01",
    "0.025",
    "0.05",
    "0.1",
    "0.25",
    "0.5",
    "1.0",
    "2.5",
    "5.0",
    "10.0",
    "+Inf",
)
LEASES: Final = "hms_worker_leases_lost_total"
REFUSED: Final = "hms_worker_settlements_refused_total"
DEAD: Final = "hms_jobs_dead_total"
ODD: Final = {"type": "odd.type"}
CASES: Final = (
    Case(
        "HmsHttpServerDown", "away for five minutes", (Change("up", "1x8 0x60"),), "7m", (TARGET,)
    ),
    Case("HmsHttpServerDown", "away for a minute", (Change("up", "1x36 0x60"),), "10m"),
    Case(
        "HmsBrokerDown",
        "away for five minutes",
        (Change("hms_broker_up", "1x8 0x60", SQLITE),),
        "7m",
        (SQLITE,),
    ),
    Case(
        "HmsBrokerDown",
        "away for half a minute",
        (Change("hms_broker_up", "1x38 0x60", SQLITE),),
        "10m",
    ),
    Case(
        "HmsBrokerFull",
        "beyond nine tenths",
        (
            Change("hms_broker_used_bytes", "95x60", SQLITE),
            Change("hms_broker_limit_bytes", "100x60", SQLITE),
        ),
        "10m",
        (SQLITE,),
    ),
    Case(
        "HmsBrokerFull",
        "has refused",
        (Change("hms_broker_refused_total", "0x30 1+1x30", SQLITE),),
        "11m",
        (SQLITE,),
    ),
    Case(
        "HmsBrokerFull",
        "at half",
        (
            Change("hms_broker_used_bytes", "50x60", SQLITE),
            Change("hms_broker_limit_bytes", "100x60", SQLITE),
        ),
        "10m",
    ),
    Case(
        "HmsDatabaseDown",
        "away for five minutes",
        (Change("hms_database_up", "1x8 0x60", SQLITE),),
        "7m",
        (SQLITE,),
    ),
    Case(
        "HmsDatabaseDown",
        "away for half a minute",
        (Change("hms_database_up", "1x38 0x60", SQLITE),),
        "10m",
    ),
    Case(
        "HmsNoWorkers",
        "gone for five minutes",
        (Change("hms_fleet_workers", "1x8 0x60"),),
        "7m",
        ({},),
    ),
    Case("HmsNoWorkers", "gone for a minute", (Change("hms_fleet_workers", "1x36 0x60"),), "10m"),
    Case(
        "HmsDeadLettersRising", "three more", (Change(DEAD, "0x20 3x60", NOTIFY),), "10m", (NOTIFY,)
    ),
    Case(
        "HmsDeadLettersRising",
        "the first three of a type that is new with them",
        (Change(DEAD, "_x20 3x60", ODD),),
        "10m",
        (ODD,),
    ),
    Case(
        "HmsDeadLettersRising",
        "of a type that was new ten minutes ago",
        (Change(DEAD, "_x20 3x100", ODD),),
        "15m",
        (ODD,),
    ),
    Case(
        "HmsDeadLettersRising",
        "of a type that was new half an hour ago",
        (Change(DEAD, "_x20 3x200", ODD),),
        "40m",
    ),
    Case("HmsDeadLettersRising", "old ones that stand", (Change(DEAD, "7x240", NOTIFY),), "10m"),
    Case(
        "HmsDeadLettersRising",
        "old ones, seen again after the broker was away",
        (
            Change("hms_broker_up", "1x40 0x8 1x60", SQLITE),
            Change(DEAD, "7x40 stale _x7 7x60", NOTIFY),
        ),
        "15m",
    ),
    Case(
        "HmsDeadLettersRising",
        "old ones, seen again after the HTTP server was away",
        (
            Change("hms_broker_up", "1x40 stale _x7 1x60", SQLITE),
            Change(DEAD, "7x40 stale _x7 7x60", NOTIFY),
        ),
        "15m",
    ),
    Case(
        "HmsQueueOld",
        "a job of eleven minutes",
        (Change("hms_queue_oldest_age_seconds", "700x60", NOTIFY),),
        "10m",
        (NOTIFY,),
    ),
    Case(
        "HmsQueueOld",
        "in a queue that is paused",
        (
            Change("hms_queue_oldest_age_seconds", "700x60", NOTIFY),
            Change("hms_queue_paused", "1x60", NOTIFY),
        ),
        "10m",
    ),
    Case(
        "HmsQueueGrowing",
        "20 more each quarter of a minute",
        (Change("hms_jobs", "0+20x240", QUEUED),),
        "58m",
        (NOTIFY,),
    ),
    Case("HmsQueueGrowing", "but short", (Change("hms_jobs", "0+4x240", QUEUED),), "58m"),
    Case(
        "HmsQueueUnserved",
        "three wait for nobody",
        (Change("hms_jobs", "3x60", QUEUED), Change("hms_queue_served", "0x60", NOTIFY)),
        "10m",
        (NOTIFY,),
    ),
    Case(
        "HmsQueueUnserved",
        "three wait for a worker that is there",
        (Change("hms_jobs", "3x60", QUEUED),),
        "10m",
    ),
    Case(
        "HmsOutboxLag",
        "a minute and a half",
        (Change("hms_outbox_lag_seconds", "90x60"),),
        "10m",
        ({},),
    ),
    Case(
        "HmsOutboxLag",
        "a minute and a half, just now",
        (Change("hms_outbox_lag_seconds", "0x36 90x60"),),
        "10m",
    ),
    Case("HmsLeasesLost", "three leases", (Change(LEASES, "0x20 3x60"),), "10m", ({},)),
    Case(
        "HmsLeasesLost",
        "three leases, of an HTTP server that has never refused a settlement",
        (Change(LEASES, "0x20 3x60"), Change(REFUSED, "")),
        "10m",
        ({},),
    ),
    Case(
        "HmsLeasesLost",
        "one settlement, where no lease was ever lost",
        (Change(LEASES, ""), Change(REFUSED, "0x20 1x60")),
        "10m",
        ({},),
    ),
    Case("HmsLeasesLost", "long ago", (Change(LEASES, "3x60"), Change(REFUSED, "1x60")), "10m"),
    Case("HmsLoopLag", "every sample late", tuple(map(lag, BOUNDS)), "20m", ({},)),
    Case(
        "HmsLoopLag",
        "every sample in time",
        tuple(
            Change("hms_worker_loop_lag_seconds_bucket", "0+10x240", {"le": bound})
            for bound in BOUNDS
        ),
        "20m",
    ),
    Case(
        "HmsClaimHangs",
        "for minutes",
        (Change("hms_worker_turning_seconds", "0x8 40x60"),),
        "10m",
        ({"instance": TARGET["instance"]},),
    ),
    Case(
        "HmsClaimHangs",
        "again and again, each given up after 15 s",
        (
            Change(
                "hms_worker_turning_seconds", "0x8 15 0 14 1 13 15 2 15 0 14 1 13 15 2 14 1 13 15"
            ),
        ),
        "6m",
        ({"instance": TARGET["instance"]},),
    ),
    Case(
        "HmsClaimHangs",
        "for half a minute",
        (Change("hms_worker_turning_seconds", "0x38 40x60"),),
        "10m",
    ),
)


def rules() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


@pytest.fixture(scope="module")
def exposed(busy_address: str) -> dict[str, list[dict[str, str]]]:
    """Each sample that the running service gives: its name, and labels."""
    found: dict[str, list[dict[str, str]]] = {"up": [{}]}
    for family in text_string_to_metric_families(metrics(busy_address).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def written(name: str, labels: dict[str, str]) -> str:
    inner = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return f"{name}{{{inner}}}"


def series_of(case: Case, exposed: dict[str, list[dict[str, str]]]) -> list[dict[str, str]]:
    """All series of a healthy service, at rest, with the case's changes."""
    still = {
        "up": "1",
        "hms_broker_up": "1",
        "hms_database_up": "1",
        "hms_fleet_workers": "1",
        "hms_queue_served": "1",
    }
    values = {
        written(name, labels | TARGET): f"{still.get(name, '0')}x{LONGEST}"
        for name, samples in exposed.items()
        for labels in samples
    }
    for change in case.changes:
        key = written(change.name, change.labels | TARGET)
        if change.labels == ODD:
            assert any(each.keys() == ODD.keys() for each in exposed[change.name])
        else:
            assert key in values, f"the service gives no {key}"
        values[key] = change.values
    return [{"series": key, "values": value} for key, value in values.items() if value]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.what}")
def test_an_alert_fires_when_it_should(
    case: Case, exposed: dict[str, list[dict[str, str]]], tmp_path: Path
) -> None:
    severity = rules()[case.alert]["labels"]
    firing = {"alertname": case.alert, "alertstate": "firing", **severity}
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": f"{EVERY_SECONDS}s",
        "tests": [
            {
                "interval": f"{EVERY_SECONDS}s",
                "input_series": series_of(case, exposed),
                "promql_expr_test": [
                    {
                        "expr": 'ALERTS{alertstate="firing"}',
                        "eval_time": case.at,
                        "exp_samples": [
                            {"labels": written("ALERTS", firing | labels), "value": 1}
                            for labels in case.fires
                        ],
                    }
                ],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(test))
    run_promtool("test", "rules", str(file))


def test_every_rule_has_cases_of_both_kinds() -> None:
    for kind in (True, False):
        assert {case.alert for case in CASES if bool(case.fires) is kind} == rules().keys()


def test_prometheus_takes_the_rules() -> None:
    assert f"{len(rules())} rules found" in run_promtool("check", "rules", str(RULES))


def test_promtool_finds_nothing_amiss_with_the_metrics(busy_address: str) -> None:
    assert run_promtool("check", "metrics", given=metrics(busy_address).decode()) == ""


def run_promtool(*words: str, given: str = "") -> str:
    """Run promtool; return what it says."""
    done = subprocess.run(
        [part("promtool"), *words], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
