"""All keys in Redis, with their content and bounds. `{ns}` is the namespace, `{type}` a job type.

Three families have fixed names because other programs use them; the rest is internal.
Keys that other programs write to may have any Redis type: their type is checked, and
they are never used as an index. The scripts in `lua/` build the same names.
"""

from __future__ import annotations

from typing import Final

import msgspec

PREFIX: Final = "hms:{ns}:"


class KeyFamily(msgspec.Struct, frozen=True):
    """One family of keys: its name, Redis type, content, and lifetime or bound."""

    name: str
    kind: str
    holds: str
    bound: str


FAMILIES: Final = (
    KeyFamily("jobs:{type}", "list", "intake: what producers LPUSH", "emptied by the workers"),
    KeyFamily(
        "jobs:{type}:retry",
        "zset",
        "mirror of retrying: id, due time in Unix seconds",
        "jobs retrying",
    ),
    KeyFamily(
        "stats:{type}", "hash", "running counters, and gauges of the states", "one for each type"
    ),
    KeyFamily("hms:{ns}:job:{id}", "string", "the record of a job", "removed by retention"),
    KeyFamily(
        "hms:{ns}:job-types", "set", "types, and `!`", "types that have or had jobs, or are served"
    ),
    KeyFamily(
        "hms:{ns}:due",
        "zset",
        "state and type: time (ms) before which none of its jobs is due",
        "2 for each type",
    ),
    KeyFamily(
        "hms:{ns}:leases",
        "zset",
        "state and type: time (ms) before which no lease ends",
        "1 for each type",
    ),
    KeyFamily(
        "hms:{ns}:queue:{type}",
        "hash",
        "counts, last position, pause, priority",
        "16 fields for each type",
    ),
    KeyFamily("hms:{ns}:queued:{type}", "zset", "ready: id, position", "jobs queued"),
    KeyFamily("hms:{ns}:suspects:{type}", "zset", "ready suspects: id, position", "jobs queued"),
    KeyFamily(
        "hms:{ns}:limited:{type}",
        "zset",
        "queued jobs that wait for a limit with a key: id, position",
        "jobs queued",
    ),
    KeyFamily(
        "hms:{ns}:places:{type}",
        "hash",
        "id: the limits that a running job counts for, or for which a queued one waits",
        "slots, and jobs that wait",
    ),
    KeyFamily("hms:{ns}:holders:{digest}", "set", "running jobs that a limit counts", "slots"),
    KeyFamily(
        "hms:{ns}:starts:{digest}", "list", "when jobs began (ms)", "the most of a rate; its window"
    ),
    KeyFamily(
        "hms:{ns}:behind:{digest}",
        "zset",
        "jobs that wait for a limit: fence and id, position",
        "jobs queued",
    ),
    KeyFamily(
        "hms:{ns}:limit-checks",
        "zset",
        "limits that jobs wait for, next time to look (ms)",
        "1 for each limit and key",
    ),
    KeyFamily("hms:{ns}:scheduled:{type}", "zset", "id, due time (ms)", "jobs scheduled"),
    KeyFamily("hms:{ns}:retrying:{type}", "zset", "id, due time (ms)", "jobs retrying"),
    KeyFamily("hms:{ns}:held:{type}", "zset", "id, time (ms)", "jobs held"),
    KeyFamily("hms:{ns}:processing:{type}", "zset", "id, end of the lease (ms)", "slots"),
    KeyFamily("hms:{ns}:completed:{type}", "zset", "id, time (ms)", "7 days or 100,000 jobs"),
    KeyFamily("hms:{ns}:rejected:{type}", "zset", "id, time (ms)", "90 days, then the archive"),
    KeyFamily("hms:{ns}:dead:{type}", "zset", "id, time (ms)", "90 days, then the archive"),
    KeyFamily("hms:{ns}:cancelled:{type}", "zset", "id, time (ms)", "7 days"),
    KeyFamily("hms:{ns}:discarded:{type}", "zset", "id, time (ms)", "`discard_undo_seconds`"),
    KeyFamily(
        "hms:{ns}:cause:{cause}",
        "zset",
        "failure group: id, time (ms)",
        "jobs retrying, dead or rejected",
    ),
    KeyFamily(
        "hms:{ns}:failing:{cause}",
        "hash",
        "history of a group of retrying jobs",
        "15 fields, an hour after the last job",
    ),
    KeyFamily(
        "hms:{ns}:histories",
        "zset",
        "groups of retrying jobs with a stored history, last failure (ms)",
        "1000 groups",
    ),
    KeyFamily("hms:{ns}:causes", "set", "failure groups with jobs", "1000, and 3 for each type"),
    KeyFamily(
        "hms:{ns}:unique:{type}",
        "hash",
        "digest of a unique key: id, and since when (ms) if that job has replaced others",
        "unfinished jobs",
    ),
    KeyFamily(
        "hms:{ns}:window:{type}:{digest}",
        "string",
        "for the window of a unique key: id, end (ms)",
        "the window",
    ),
    KeyFamily(
        "hms:{ns}:cancel-requests", "hash", "cancel requests; id: fence, operator, reason", "slots"
    ),
    KeyFamily(
        "hms:{ns}:progress:{id}",
        "stream",
        "progress and log lines",
        "200 lines; 30 days, or the job",
    ),
    KeyFamily(
        "hms:{ns}:steps:{id}",
        "hash",
        "results of a job's steps, and its cursor",
        "1,000 steps; 100 days, or the job",
    ),
    KeyFamily(
        "hms:{ns}:batch:{batch}",
        "hash",
        "a batch: what was submitted, and what became of it, see batches.lua",
        "21 fields; as long as a job of it",
    ),
    KeyFamily(
        "hms:{ns}:members:{batch}",
        "zset",
        "jobs of a batch: id, rank of the state and time of the last move",
        "its jobs",
    ),
    KeyFamily(
        "hms:{ns}:follow-ups:{batch}",
        "hash",
        "number: a job that is to follow the members of a batch",
        "100 jobs, each until it is made",
    ),
    KeyFamily(
        "hms:{ns}:follow-up-ids", "hash", "id of a job that is to follow: batch", "until it is made"
    ),
    KeyFamily("hms:{ns}:submitted-batches", "zset", "batch, time (ms)", "as long as a job of each"),
    KeyFamily(
        "hms:{ns}:open-batches",
        "zset",
        "batch, time of its last members so far (ms)",
        "until all its members are accepted",
    ),
    KeyFamily("hms:{ns}:unended-batches", "set", "batches that have not ended", "batches"),
    KeyFamily("hms:{ns}:taken:{type}", "list", "intake being processed", "emptied by the workers"),
    KeyFamily("hms:{ns}:claims:{worker}:{lane}", "string", "result of the last claim", "one lease"),
    KeyFamily("hms:{ns}:reply:{nonce}", "string", "reply to a rare call", "120 seconds"),
    KeyFamily(
        "hms:{ns}:undo:{batch}",
        "zset",
        "id, and the job as it was before an act",
        "twice `discard_undo_seconds`",
    ),
    KeyFamily(
        "hms:{ns}:batches",
        "zset",
        "batch, time (ms); less than 0 once undone",
        "`discard_undo_seconds`, at each trim",
    ),
    KeyFamily(
        "hms:{ns}:workers", "zset", "worker, last seen (ms)", "5 minutes without a heartbeat"
    ),
    KeyFamily(
        "hms:{ns}:worker_info", "hash", "worker: its registration", "5 minutes without a heartbeat"
    ),
    KeyFamily(
        "hms:{ns}:worker-requests", "hash", "worker: an operator's request", "as worker_info"
    ),
    KeyFamily("hms:{ns}:waiting:{type}", "zset", "idle worker, until when (ms)", "workers"),
    KeyFamily(
        "hms:{ns}:waits:{worker}", "string", "types that an idle worker waits for", "a minute"
    ),
    KeyFamily(
        "hms:{ns}:schedules",
        "hash",
        "type: what was decided on its schedule (JSON)",
        "types that have or had a schedule",
    ),
    KeyFamily("hms:{ns}:fence", "string", "the last fence issued", "one"),
    KeyFamily(
        "hms:{ns}:healing", "string", "a worker walks the records", "60 seconds for each step"
    ),
    KeyFamily(
        "hms:{ns}:audit:heads",
        "hash",
        "heads of the audit chain; no retention applies",
        "107 fields: newest, 90 days, 16 doubts",
    ),
    KeyFamily("hms:{ns}:bus", "stream", "the result bus", "7 days or a million events"),
    KeyFamily("hms:{ns}:bus:position", "string", "the last position on the bus", "one"),
    KeyFamily("hms:{ns}:bus:ids", "zset", "id of a service's event, position", "as the bus"),
    KeyFamily("hms:{ns}:bus:latest", "hash", "type of a service's event: position", "event types"),
    KeyFamily("hms:{ns}:bus:group:{group}", "string", "last position delivered", "90 days unused"),
    KeyFamily(
        "hms:{ns}:bus:pending:{group}",
        "zset",
        "position, when it is due again (ms)",
        "90 days unused",
    ),
)
"""All families; a test compares this table with the keys of a busy server."""


class Keys:
    """The names of keys in one namespace."""

    def __init__(self, namespace: str) -> None:
        self.prefix = PREFIX.replace("{ns}", namespace)

    def ours(self, *arguments: str) -> str:
        """Return the internal key with this name."""
        return self.prefix + ":".join(arguments)

    def index(self, state: str, type: str) -> str:
        """Return the index of a state: `queued`, …, `discarded`, or `suspects` or `limited`."""
        return self.ours(state, type)

    @staticmethod
    def intake(type: str) -> str:
        """Return the list that foreign producers push to."""
        return f"jobs:{type}"


def worker_field(worker: str) -> str:
    """Return a worker's id without white space, as it is stored in records and registers."""
    return "_".join(worker.split()) or "_"
