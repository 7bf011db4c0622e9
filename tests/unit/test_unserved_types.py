"""What a producer is told about types that nobody serves."""

from __future__ import annotations

from pathlib import Path

from hms_svc.domain.job import INTERNAL_TYPES, make_job
from hms_svc.operations.unserved_types import obstacles, unknown_types
from hms_svc.services import PRODUCED, builtin_registry
from tests.support.operator_service import open_operator
from tests.unit.test_acts import register


def test_the_types_that_producers_submit_are_all_but_the_internal_ones() -> None:
    assert {each.type for each in builtin_registry()} - INTERNAL_TYPES == PRODUCED


async def test_a_type_of_a_registered_worker_is_known(tmp_path: Path) -> None:
    async with open_operator(tmp_path, builtin_registry()) as operator:
        inspection = operator.engines.inspection
        assert await unknown_types(["own.job", "crew.notify"], PRODUCED, inspection) == [
            "no worker serves 'own.job'"
        ]
        await register(operator, "w-7-a", types=("own.job",))
        assert await unknown_types(["own.job"], PRODUCED, inspection) == []
        assert await unknown_types(["own.jbo"], PRODUCED, inspection) == [
            "no worker serves 'own.jbo'; did you mean own.job?"
        ]


async def test_nothing_stands_in_the_way_of_a_type_that_a_live_worker_serves(
    tmp_path: Path,
) -> None:
    async with open_operator(tmp_path, builtin_registry()) as operator:
        inspection, reads = operator.engines.inspection, operator.operations.reads
        await operator.engines.broker.enqueue(
            [make_job(type, {}, now_ms=1) for type in ("x.y", "x.z")]
        )
        await register(operator, "w-7-a", types=("x.y",))
        assert await obstacles(["x.y", "x.z"], PRODUCED, inspection, reads.now_ms()) == [
            "no live worker serves x.z; start one with hms-svc serve"
        ]
