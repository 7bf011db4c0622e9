"""The keys of a Redis as a stranger reads them, by what `brokers/redis/keys.py` says is in each."""

from __future__ import annotations

import json
import struct
from collections import Counter, defaultdict
from typing import Any, Final, cast

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from hms_svc.domain.causes import GROUPED
from hms_svc.domain.lifecycle import State
from tests.chaos.views import STATES, BrokerSample, BusEvent, JobRow, differences, read_steps

PREFIX: Final = "hms:default:"
HEAD: Final = struct.Struct("<qBBIIqIHBBBBiiBBiqHHqqhqIII")
"""The head of a record, see `brokers/redis/record.py`; the texts whose sizes it has follow."""


class RedisView:
    """Implements `BrokerView` over a server."""

    def __init__(self, url: str) -> None:
        patience = Retry(ConstantBackoff(0.05), 100)
        self._redis = redis.Redis.from_url(url, decode_responses=True, retry=patience)
        self._bytes = redis.Redis.from_url(url, retry=patience)

    def jobs(self) -> list[JobRow]:
        """See BrokerView."""
        names = sorted(self._ask("KEYS", PREFIX + "job:*"))
        return self._records([name.removeprefix(PREFIX + "job:") for name in names])

    def count(self, state: State, type: str = "") -> int:
        """See BrokerView."""
        types = [type] if type else self._types()
        return sum(self._ask("ZCARD", key) for each in types for key in _indexes(state, each))

    def holders(self) -> list[str]:
        """See BrokerView."""
        keys = [key for type in self._types() for key in _indexes(State.PROCESSING, type)]
        ids = [id for key in keys for id in self._ask("ZRANGE", key, 0, -1)]
        return [job.worker for job in self._records(ids) if job.state is State.PROCESSING]

    def workers(self) -> list[str]:
        """See BrokerView."""
        return list(self._ask("ZRANGE", PREFIX + "workers", 0, -1))

    def events(self) -> list[BusEvent]:
        """See BrokerView."""
        entries: Any = self._redis.xrange(PREFIX + "bus")
        return [BusEvent(each["t"], each["j"], each.get("e", "")) for _, each in entries]

    def sample(self) -> BrokerSample:
        """See BrokerView: one MULTI, so that nobody writes in between."""
        types = self._types()
        rows: Counter[tuple[str, str]] = Counter()
        tallies: Counter[tuple[str, str]] = Counter()
        counters: dict[tuple[str, str], int] = {}
        places = [
            (type, state.value, key)
            for type in types
            for state in STATES.values()
            for key in _indexes(state, type)
        ]
        with self._redis.pipeline(transaction=True) as together:
            for _, _, key in places:
                together.zcard(key)
            for type in types:
                together.hgetall(f"{PREFIX}queue:{type}")
                together.hgetall(f"stats:{type}")
            answers = together.execute()
        for (type, state, _), size in zip(places, answers, strict=False):
            rows[type, state] += size
        for number, type in enumerate(types):
            tallied, stats = answers[len(places) + 2 * number :][:2]
            for state in STATES.values():
                tallies[type, state.value] = int(tallied.get(state.value, 0))
            counters |= {(type, name): int(n) for name, n in stats.items()}
        return BrokerSample(rows, tallies, counters)

    def faults(self) -> list[str]:
        """See BrokerView: records and indexes must say the same, and nothing may lie about."""
        found = [f"{key} is not empty" for key in self._left_behind()]
        places: dict[str, list[str]] = defaultdict(list)
        for type in self._types():
            for state in STATES.values():
                for key in _indexes(state, type):
                    for id in self._ask("ZRANGE", key, 0, -1):
                        places[id].append(key)
        for job in self.jobs():
            key = _indexes(job.state, job.type)[job.state is State.QUEUED and job.suspect]
            if (stands := places.pop(job.id, [])) != [key]:
                found.append(f"{job.id} is {job.state}, and stands in {stands}")
        found += [f"{id} stands in {keys}, and has no record" for id, keys in places.items()]
        return found + self._gauge_faults() + self.group_faults()

    def group_faults(self) -> list[str]:
        """See BrokerView."""
        names = self._ask("KEYS", PREFIX + "cause:*")
        told = Counter({name.rpartition(":")[2]: self._ask("ZCARD", name) for name in names})
        there: Counter[str] = Counter()
        for key in self._ask("KEYS", PREFIX + "job:*"):
            record = cast("bytes", self._bytes.get(key))
            head = HEAD.unpack_from(record)
            if STATES[head[1]] in GROUPED:
                there[_texts(head, record)[1]] += 1
        known = self._ask("SMEMBERS", PREFIX + "causes")
        return differences(told, there) + [f"{each} is not known" for each in {*told} - known]

    def close(self) -> None:
        """See BrokerView."""
        self._redis.close()
        self._bytes.close()

    def _ask(self, *words: Any) -> Any:
        return self._redis.execute_command(*words)  # type: ignore[no-untyped-call]  # untyped in redis-py

    def _types(self) -> list[str]:
        return sorted(self._ask("SMEMBERS", PREFIX + "job-types") - {"!"})

    def _records(self, ids: list[str]) -> list[JobRow]:
        if not ids:
            return []
        texts: Any = self._bytes.mget(f"{PREFIX}job:{id}" for id in ids)
        return [_job(id, text) for id, text in zip(ids, texts, strict=True) if text is not None]

    def _left_behind(self) -> list[str]:
        lists = [name for name in self._ask("KEYS", "*") if self._ask("TYPE", name) == "list"]
        requests = PREFIX + "cancel-requests"
        return lists + [requests] * bool(self._ask("EXISTS", requests))

    def _gauge_faults(self) -> list[str]:
        sample = self.sample()
        return [
            f"stats:{type} says {number} {name}, there are {sample.rows[type, name]}"
            for (type, name), number in sample.counters.items()
            if (type, name) in sample.rows
            and name != "accepted"
            and name in ("scheduled", "queued", "held", "processing", "retrying")
            and number != sample.rows[type, name]
        ]


def _indexes(state: State, type: str) -> list[str]:
    keys = [f"{PREFIX}{state.value}:{type}"]
    return [*keys, f"{PREFIX}suspects:{type}"] if state is State.QUEUED else keys


def _texts(head: tuple[Any, ...], record: bytes) -> list[str]:
    """Return worker, group, type, unique key, envelope, data, raw bytes, case, approvals, outcome, history."""
    sizes = (*head[7:11], *head[24:27], *head[18:20], head[4])
    texts, at = [], HEAD.size
    for size in (*sizes, len(record)):
        texts.append(record[at : at + size].decode(errors="replace"))
        at += size
    return texts


def _job(id: str, record: bytes) -> JobRow:
    """Read a record."""
    head = HEAD.unpack_from(record)
    texts = _texts(head, record)
    _, state, suspect, _, _, fence = head[:6]
    lane, attempt, claims, give_backs, crashes, most = head[11:17]
    said = json.loads(texts[9] or "{}")
    return JobRow(
        id=id,
        type=texts[2],
        state=STATES[state],
        fence=fence,
        attempt=attempt,
        claims=claims,
        give_backs=give_backs,
        crashes=crashes,
        suspect=suspect == 1,
        lane=lane,
        max_attempts=most,
        worker=texts[0] if STATES[state] is State.PROCESSING else "",
        reason=said.get("reason", ""),
        by=said.get("by", ""),
        case_id=texts[7],
        steps=read_steps(texts[10]),
    )
