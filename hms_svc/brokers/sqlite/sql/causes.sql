-- Failure groups, and the states that an operator's acts can be undone to.
-- The triggers follow a job into and out of retrying, rejected and dead. They fire only
-- on `cause`, so that
-- a job that never fails costs nothing: each statement that changes these states sets `cause`, even
-- to the same value.

-- name: causes
CREATE TABLE IF NOT EXISTS causes (
    cause TEXT PRIMARY KEY,         -- id of a failure group, see domain/causes.py
    n INTEGER NOT NULL              -- jobs in the group; at 0 the row is deleted
) WITHOUT ROWID

-- name: arrivals
CREATE TABLE IF NOT EXISTS arrivals (
    cause TEXT NOT NULL,
    slot INTEGER NOT NULL,          -- five minutes of time: Unix ms / SLOT_MS
    n INTEGER NOT NULL,             -- jobs that entered the group then; for retrying jobs the failures;
                                        -- slots are deleted after an hour
    PRIMARY KEY (cause, slot)
) WITHOUT ROWID

-- name: failing
CREATE TABLE IF NOT EXISTS failing (
    cause TEXT PRIMARY KEY,         -- a group of retrying jobs
    first_at INTEGER NOT NULL,      -- their first failure since the group was last empty for an hour
    last_at INTEGER NOT NULL,
    newest TEXT NOT NULL,           -- the job that failed last
    until INTEGER NOT NULL          -- when the group last had a job: the row is deleted an hour later,
                                        -- or if a thousand other groups have failed since
) WITHOUT ROWID

-- name: jobs_of_cause
CREATE INDEX IF NOT EXISTS jobs_of_cause ON jobs (cause, position)
WHERE cause IS NOT NULL AND state IN ({GROUPED})

-- name: job_left
CREATE TRIGGER IF NOT EXISTS job_left AFTER UPDATE OF cause ON jobs
WHEN OLD.cause IS NOT NULL AND OLD.state IN ({GROUPED}) BEGIN
    UPDATE causes SET n = n - 1 WHERE cause = OLD.cause;
    DELETE FROM causes WHERE cause = OLD.cause AND n <= 0;
    UPDATE arrivals SET n = n - 1 WHERE cause = OLD.cause AND slot = OLD.position / {SLOT_MS} AND OLD.state <> {RETRYING};
    UPDATE failing SET until = max(until, OLD.position) WHERE cause = OLD.cause AND OLD.state = {RETRYING};
END

-- name: job_came
CREATE TRIGGER IF NOT EXISTS job_came AFTER UPDATE OF cause ON jobs
WHEN NEW.cause IS NOT NULL AND NEW.state IN ({GROUPED}) BEGIN
    INSERT INTO causes (cause, n) VALUES (NEW.cause, 1) ON CONFLICT (cause) DO UPDATE SET n = n + 1;
    INSERT INTO arrivals (cause, slot, n) SELECT NEW.cause, NEW.position / {SLOT_MS}, 1 WHERE NEW.state <> {RETRYING}
        ON CONFLICT (cause, slot) DO UPDATE SET n = n + 1;
END

-- name: job_went
CREATE TRIGGER IF NOT EXISTS job_went AFTER DELETE ON jobs
WHEN OLD.cause IS NOT NULL AND OLD.state IN ({GROUPED}) BEGIN
    UPDATE causes SET n = n - 1 WHERE cause = OLD.cause;
    DELETE FROM causes WHERE cause = OLD.cause AND n <= 0;
    UPDATE arrivals SET n = n - 1 WHERE cause = OLD.cause AND slot = OLD.position / {SLOT_MS} AND OLD.state <> {RETRYING};
    UPDATE failing SET until = max(until, OLD.position) WHERE cause = OLD.cause AND OLD.state = {RETRYING};
END

-- name: undo
CREATE TABLE IF NOT EXISTS undo (
    batch TEXT NOT NULL,
    id TEXT NOT NULL,
    at INTEGER NOT NULL,
    asked INTEGER NOT NULL DEFAULT 0,  -- 1: its undo was tried and refused
    to_state INTEGER NOT NULL,      -- the job after the act, to detect later changes
    to_position INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    state INTEGER NOT NULL,         -- from here on: the job before the act
    position INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    give_backs INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    suspect INTEGER NOT NULL,
    not_before INTEGER,
    expires_at INTEGER,
    finished_at INTEGER,
    reason TEXT,
    decided_by TEXT,
    detail TEXT,
    failure TEXT,
    hold TEXT,
    cause TEXT,
    result BLOB,
    approved TEXT,
    PRIMARY KEY (batch, id)
)

-- name: undo_by_time
CREATE INDEX IF NOT EXISTS undo_by_time ON undo (at)
