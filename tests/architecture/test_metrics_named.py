"""Dashboard and alert rules name metrics and labels that the HTTP API renders: else they stay silent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hms_svc.domain.views import QueueCounts, QueueView, WorkerView
from hms_svc.observability.metrics import Metrics
from hms_svc.observability.overview import FleetOverview
from hms_svc.ports.clock import SystemClock
from hms_svc.ports.database import DatabaseHealth
from hms_svc.ports.inspection import BrokerHealth, Capacity
from hms_svc.sdk.label_values import LabelValues
from hms_svc.services import builtin_registry

DEPLOY = Path(__file__).parents[2] / "deploy"
OF_A_TARGET = frozenset({"job", "instance"})
"""What Prometheus adds to each series that it scrapes."""
SCRAPERS_OWN = {"up": OF_A_TARGET}
LABEL = r"[a-z_]+"
SELECTOR = re.compile(r"\b((?:hms|process|python)_[a-z0-9_]+|up\b)(?:\{([^}]*)\})?")
GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")
MATCHER = re.compile(rf'({LABEL})\s*(?:=~|!~|!=|=)\s*"([^"]*)"')


def exposed() -> dict[str, list[dict[str, str]]]:
    """The samples of an HTTP server at its start, over a broker with one queue: name, and labels of each."""
    queue = QueueView(
        type="a.b",
        counts=QueueCounts(),
        counters={},
        oldest_queued_at=None,
        next_due_at=None,
        paused=False,
        paused_by="",
        pause_reason="",
        served=True,
    )
    worker = WorkerView(
        id="w",
        host="h",
        pid=1,
        slots=1,
        busy=0,
        jobs=(),
        types=(),
        started_at=0,
        last_seen_at=0,
        lane="normal",
    )
    seen = FleetOverview(
        at=0,
        broker=BrokerHealth(
            "sqlite", ok=True, round_trip_ms=0.0, capacity=Capacity(used=1, limit=2)
        ),
        database=DatabaseHealth("sqlite", ok=True),
        queues=[queue],
        workers=[worker],
        outbox_lag_ms=0,
    )
    metrics = Metrics(SystemClock(), LabelValues(builtin_registry()).series())
    metrics.http.observe("/jobs", "POST", 202, 0.1)
    found: dict[str, list[dict[str, str]]] = {}
    for family in metrics.families(seen):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def rules() -> Iterator[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    yield from (rule for group in groups for rule in group["rules"])


def panels() -> list[dict[str, Any]]:
    board = json.loads((DEPLOY / "grafana" / "hms-svc.json").read_text())
    assert [each["query"]["query"] for each in board["templating"]["list"][1:]] == [
        "label_values(hms_jobs, type)"
    ]
    return list(board["panels"])


def expressions() -> Iterator[Any]:
    for rule in rules():
        yield pytest.param(rule["expr"], id=rule["alert"])
    for panel in panels():
        for target in panel.get("targets", ()):
            yield pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")


@pytest.fixture(scope="module")
def samples() -> dict[str, list[dict[str, str]]]:
    return exposed()


def labels_of(name: str, samples: dict[str, list[dict[str, str]]]) -> frozenset[str]:
    """The labels that a metric has once it is scraped."""
    if name in SCRAPERS_OWN:
        return SCRAPERS_OWN[name]
    return OF_A_TARGET.union(*(labels.keys() for labels in samples[name]))


@pytest.mark.parametrize("expression", list(expressions()))
def test_every_metric_and_label_that_is_named_is_exposed_from_the_start(
    expression: str, samples: dict[str, list[dict[str, str]]]
) -> None:
    named = SELECTOR.findall(expression)
    assert named
    assert {name for name, _ in named} - samples.keys() - SCRAPERS_OWN.keys() == set()
    known = frozenset[str]().union(*(labels_of(name, samples) for name, _ in named))
    for name, matchers in named:
        for label, value in MATCHER.findall(matchers):
            assert label in labels_of(name, samples), f"{name} has no label {label}"
            if (name, label) == ("hms_jobs", "state"):
                states = {each["state"] for each in samples[name]}
                assert set(value.split("|")) <= states, f"no state of {value}"
    grouped = {word.strip() for words in GROUPING.findall(expression) for word in words.split(",")}
    assert grouped - {""} <= known, f"{sorted(grouped - known)} of no metric of {expression}"


def test_a_wrong_label_is_found(samples: dict[str, list[dict[str, str]]]) -> None:
    assert "queue" not in labels_of("hms_jobs", samples)
    assert labels_of("hms_jobs", samples) == {"type", "state", "job", "instance"}


def test_every_alert_says_what_is_amiss_and_what_to_do() -> None:
    for rule in rules():
        assert {"summary", "runbook"} <= rule["annotations"].keys(), rule["alert"]
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_panels_have_ids_of_their_own() -> None:
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids)) > 20
