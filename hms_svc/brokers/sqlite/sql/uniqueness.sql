-- What version 10 added: until when a job holds its unique key, and the windows of keys, see uniqueness.py.

-- name: drop_index
DROP INDEX jobs_unique_key

-- name: add_until
ALTER TABLE jobs ADD COLUMN unique_until INTEGER NOT NULL DEFAULT 0

-- name: add_since
ALTER TABLE jobs ADD COLUMN unique_since INTEGER

-- name: create_index
CREATE UNIQUE INDEX IF NOT EXISTS jobs_unique_key ON jobs (queue, unique_key)
    WHERE unique_key IS NOT NULL AND {HOLDS_KEY}

-- name: create_windows
CREATE TABLE IF NOT EXISTS unique_windows (
    queue INTEGER NOT NULL,
    digest TEXT NOT NULL,    -- of the unique key
    job_id TEXT NOT NULL,
    ends_at INTEGER NOT NULL,
    PRIMARY KEY (queue, digest)
) WITHOUT ROWID

-- name: insert
INSERT INTO jobs (id, queue, state, position, priority, enqueued_at, not_before, expires_at,
                  max_attempts, unique_key, envelope, data, member_of, unique_until, unique_since)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: holder
SELECT id, row, state, position, coalesce(unique_since, enqueued_at), fence, suspect FROM jobs
WHERE queue = ? AND unique_key = ? AND unique_key IS NOT NULL AND {HOLDS_KEY}

-- name: window_holder
SELECT job_id FROM unique_windows
WHERE queue = :queue AND digest = :digest AND job_id <> :job AND ends_at > :now AND ends_at <= :now + :window

-- name: begin_window
INSERT OR REPLACE INTO unique_windows (queue, digest, job_id, ends_at) VALUES (?, ?, ?, ?)

-- name: trim_windows
DELETE FROM unique_windows WHERE (queue, digest) IN (
    SELECT queue, digest FROM unique_windows WHERE ends_at <= ? LIMIT ?)

-- name: replace
UPDATE jobs SET state = {CANCELLED}, position = :now, suspect = 0, finished_at = :now, reason = :reason,
    decided_by = :by, detail = :detail, history = coalesce(history, '') || :line
WHERE row = :row
