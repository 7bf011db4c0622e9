"""Portions are bounded by number and bytes, and lose nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from hms_svc.brokers.chunks import MOST_BYTES, MOST_JOBS, chunks
from hms_svc.sdk.batcher import Batcher


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([1] * (2 * MOST_JOBS + 1), [MOST_JOBS, MOST_JOBS, 1]),
        ([MOST_BYTES * 2, 1, 1], [1, 2]),
        ([1, MOST_BYTES, 1], [1, 1, 1]),
        ([MOST_BYTES // 2] * 3, [2, 1]),
    ],
)
def test_portions(sizes: list[int], expected: list[int]) -> None:
    found = list(chunks(sizes, lambda size: size))
    assert [len(some) for some in found] == expected
    assert [size for some in found for size in some] == sizes


async def test_a_batch_is_bounded_by_what_its_questions_weigh() -> None:
    batches: list[list[int]] = []

    async def answer(questions: Sequence[int]) -> Sequence[int]:
        batches.append(list(questions))
        return questions

    batcher = Batcher(answer, limit=10, weigh=lambda weight: weight)
    asked = [4, 4, 4, 30, 1, 9, 1]
    assert await asyncio.gather(*map(batcher.ask, asked)) == asked
    assert batches == [[4, 4], [4], [30], [1, 9], [1]]
