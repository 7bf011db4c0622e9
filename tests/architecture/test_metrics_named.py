"""Dashboard and alert rules name metrics and labels that a door renders: else they stay silent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hms_svc.observability.metrics import Metrics
from hms_svc.observability.overview import Overview
from hms_svc.ports.clock import SystemClock
from hms_svc.ports.inspection import BrokerHealth

DEPLOY = Path(__file__).parents[2] / "deploy"
ENDINGS = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}
SCRAPERS_OWN = {"up"}
NAME = re.compile(r"\b(?:hms|process|python)_[a-z0-9_]+|\bup\b")


def rendered() -> set[str]:
    """Every name that a sample may have."""
    seen = Overview(at=0, broker=BrokerHealth("sqlite", ok=True, round_trip_ms=0.0))
    families = Metrics(SystemClock()).families(seen)
    return {
        family.name + ending for family in families for ending in ENDINGS.get(family.type, ("",))
    }


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


@pytest.mark.parametrize("expression", list(expressions()))
def test_every_metric_that_is_named_is_rendered(expression: str) -> None:
    named = set(NAME.findall(expression))
    assert named
    assert named - rendered() - SCRAPERS_OWN == set()


def test_every_alert_says_what_is_amiss_and_what_to_do() -> None:
    for rule in rules():
        assert {"summary", "runbook"} <= rule["annotations"].keys(), rule["alert"]
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_panels_have_ids_of_their_own() -> None:
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids)) > 20
