-- Version 11 of the queue file, with causes.sql, limits.sql, batches.sql, schedules.sql and uniqueness.sql. Times are
-- Unix milliseconds unless noted otherwise.
-- A file created as version 1 keeps three of its columns, empty: undo_state, undo_position, batch.

CREATE TABLE IF NOT EXISTS meta (
    name TEXT PRIMARY KEY,  -- schema, boot (id of the machine's boot that lease times belong to), fence, turn,
                            -- audit:*, heads of the audit chain (at most 107), to which no
                            -- retention applies
    value NOT NULL
) WITHOUT ROWID;

-- limits: those that the type declares for itself; keyed_limits: those with a key (JSON)
CREATE TABLE IF NOT EXISTS queues (
    queue INTEGER PRIMARY KEY,
    type TEXT NOT NULL UNIQUE,
    paused_by TEXT,
    pause_reason TEXT NOT NULL DEFAULT '',
    intake_paused INTEGER NOT NULL DEFAULT 0,  -- the HTTP API refuses new jobs too
    priority INTEGER NOT NULL DEFAULT 0,  -- declared by the type for jobs without one
    limits TEXT,
    keyed_limits TEXT
);

-- One row for each job from acceptance to the end of its retention.
-- state: a code of brokers/codes.py; discarded jobs are hidden, and can be shown again.
-- position orders the rows of a state within a queue:
--   queued      a counter not below the time it became ready, minus priority * PRIORITY_STEP; suspects are
--               SUSPECT_BAND higher, jobs that wait for a limit with a key LIMITED times that
--   processing  end of the lease, in milliseconds of the lease clock
--   scheduled, retrying  due time;  all others  time of the move
CREATE TABLE IF NOT EXISTS jobs (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    queue INTEGER NOT NULL REFERENCES queues (queue),
    state INTEGER NOT NULL,
    position INTEGER NOT NULL,
    priority INTEGER NOT NULL DEFAULT 0,
    attempt INTEGER NOT NULL DEFAULT 0,
    claims INTEGER NOT NULL DEFAULT 0,
    give_backs INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    suspect INTEGER NOT NULL DEFAULT 0,  -- 1 for a suspect; LIMITED more while it waits for a limit with a key
    lane INTEGER NOT NULL DEFAULT 0,
    fence INTEGER NOT NULL DEFAULT 0,
    max_attempts INTEGER,
    enqueued_at INTEGER NOT NULL,
    not_before INTEGER,
    expires_at INTEGER,
    started_at INTEGER,
    finished_at INTEGER,
    worker TEXT,
    unique_key TEXT,
    unique_until INTEGER NOT NULL DEFAULT 0,  -- until when it holds the key: 0 its end, 1 its first claim, 2 not at all
    unique_since INTEGER,  -- when the first of the jobs was accepted that it has replaced
    case_id TEXT,
    reason TEXT,
    decided_by TEXT,
    detail TEXT,
    failure TEXT,
    hold TEXT,
    approved TEXT,          -- holds that humans have approved, separated by commas; ! for a denial before them
    cause TEXT,             -- failure group, if retrying, dead or rejected
    member_of TEXT,         -- batch
    raw_length INTEGER,
    raw_digest TEXT,
    envelope BLOB,  -- JSON of the fields that only people and handlers read
    data BLOB NOT NULL,
    result BLOB,
    raw BLOB,
    history TEXT      -- JSON lines, one for each attempt and each other state change
);

CREATE INDEX IF NOT EXISTS jobs_in_turn ON jobs (state, queue, position);

-- Rows of each state, and the running counters, by queue.
CREATE TABLE IF NOT EXISTS tallies (
    queue INTEGER NOT NULL,
    name TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (queue, name)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS cancel_requests (
    row INTEGER PRIMARY KEY,
    fence INTEGER NOT NULL,
    decided_by TEXT NOT NULL,
    detail TEXT NOT NULL
);

-- At most PROGRESS_LINES for each job, removed with it.
CREATE TABLE IF NOT EXISTS progress (
    row INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    share REAL,
    message TEXT NOT NULL,
    log INTEGER NOT NULL DEFAULT 0,  -- a line of the handler's log
    PRIMARY KEY (row, number)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS workers (
    id TEXT PRIMARY KEY,
    seen_at INTEGER NOT NULL,       -- milliseconds of the lease clock
    last_seen_at INTEGER NOT NULL,
    info BLOB NOT NULL,
    request BLOB                       -- an operator's request (JSON)
) WITHOUT ROWID;

-- The result bus. Life-cycle events have no event_id: it is derived from job_id, type and fence.
CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    type TEXT NOT NULL,
    job_id TEXT NOT NULL,
    fence INTEGER,
    event_id TEXT,
    data BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS events_by_id ON events (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_sealed ON events (position) WHERE type = '{AUDIT_SEALED}';

CREATE TABLE IF NOT EXISTS groups (
    name TEXT PRIMARY KEY,
    delivered INTEGER NOT NULL      -- highest position delivered
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS deliveries (
    name TEXT NOT NULL,
    position INTEGER NOT NULL,
    consumer TEXT NOT NULL,
    again_at INTEGER NOT NULL,      -- delivered again after this time of the lease clock
    PRIMARY KEY (name, position)
) WITHOUT ROWID;
