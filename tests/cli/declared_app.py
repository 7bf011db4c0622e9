"""An application whose types declare what jobs need not name: for the tests of every edge."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from hms_svc.domain.uniqueness import Debounce, Unique
from hms_svc.sdk.registry import Registry

registry = Registry()


class Ward(BaseModel):
    ward: int


def ward_key(report: Ward) -> str:
    return f"ward-{report.ward}"


def broken_key(data: Any) -> str:
    return f"desk-{data['desk']}"


@registry.job("sync.ward", payload=Ward, unique=ward_key, priority=50)
def sync_ward() -> None:
    """Do nothing."""


@registry.job("sync.desk", unique=broken_key)
def sync_operator() -> None:
    """Do nothing."""


@registry.job("remind.ward", payload=Ward, unique=Unique(ward_key, "window", 60))
def remind_ward() -> None:
    """Do nothing."""


@registry.job("render.ward", payload=Ward, unique=Debounce(ward_key, 60))
def render_ward() -> None:
    """Do nothing."""
