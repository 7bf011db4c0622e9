"""An application whose types declare what jobs need not name: for the tests of every edge."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

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
