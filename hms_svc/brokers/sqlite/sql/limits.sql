-- What version 7 added: the limits that types declare, see type_limits.py, and results of steps, see steps.py.

-- name: create_places
CREATE TABLE IF NOT EXISTS places (
    row INTEGER NOT NULL,            -- of a running job that the limit counts, or of a queued one that waits for it
    digest TEXT NOT NULL,            -- identifies type, limit and value of its key
    position INTEGER,                -- of a queued job: its order; NULL for a running one
    text TEXT NOT NULL,              -- the limit in words
    most INTEGER NOT NULL,
    window_ms INTEGER NOT NULL,      -- 0 for a limit of running jobs
    PRIMARY KEY (row, digest)
) WITHOUT ROWID

-- name: create_places_in_order
CREATE INDEX IF NOT EXISTS places_in_order ON places (digest, position)

-- name: create_steps
CREATE TABLE IF NOT EXISTS steps (
    row INTEGER NOT NULL,
    name TEXT NOT NULL,              -- empty for the cursor
    value BLOB NOT NULL,             -- JSON
    PRIMARY KEY (row, name)
) WITHOUT ROWID

-- name: create_starts
CREATE TABLE IF NOT EXISTS starts (
    digest TEXT NOT NULL,            -- of a rate
    at INTEGER NOT NULL,             -- milliseconds of the lease clock
    n INTEGER NOT NULL               -- jobs that began then
)

-- name: create_starts_in_order
CREATE INDEX IF NOT EXISTS starts_in_order ON starts (digest, at)

-- name: limits_of_queues
SELECT queue, paused_by, limits FROM queues WHERE paused_by IS NOT NULL OR limits IS NOT NULL

-- name: limited
SELECT queue FROM queues WHERE limits IS NOT NULL
UNION ALL SELECT {ANY_PLACE} WHERE EXISTS (SELECT 1 FROM places)

-- name: running
SELECT coalesce(sum(n), 0) FROM tallies WHERE queue = ? AND name = '{PROCESSING_NAME}'

-- name: holders
SELECT count(*) FROM places WHERE digest = ? AND position IS NULL

-- name: forget_starts
DELETE FROM starts WHERE digest = ? AND (at <= ? OR at > ?)

-- name: recent_starts
SELECT coalesce(sum(n), 0), min(at) FROM starts WHERE digest = ?

-- name: note_starts
INSERT INTO starts (digest, at, n) VALUES (?, ?, ?)

-- name: claimed_row
SELECT jobs.enqueued_at - jobs.priority * {PRIORITY_STEP}, queues.queue,
    EXISTS (SELECT 1 FROM places WHERE places.row = jobs.row)
FROM jobs JOIN queues USING (queue) WHERE row = ? AND fence = ? AND state = {PROCESSING} AND id = ?

-- name: take_place
INSERT OR REPLACE INTO places (row, digest, position, text, most, window_ms) VALUES (?, ?, ?, ?, ?, ?)

-- name: queue_again
UPDATE jobs SET state = {QUEUED}, attempt = attempt - 1, claims = claims - 1, suspect = suspect + {LIMITED},
    position = enqueued_at - priority * {PRIORITY_STEP} + (suspect + {LIMITED}) * {SUSPECT_BAND}, worker = NULL
WHERE row = ?

-- name: places_of
SELECT digest, window_ms FROM places WHERE row = ?

-- name: leave_places
DELETE FROM places WHERE row = ?

-- name: first_behind
SELECT row FROM places WHERE digest = ? AND position IS NOT NULL ORDER BY position LIMIT ?

-- name: let_in
UPDATE jobs SET suspect = suspect - {LIMITED}, position = position - {LIMITED} * {SUSPECT_BAND}
WHERE row = ? AND state = {QUEUED} AND position >= {LOWEST_LIMITED}

-- name: forget_stale_places
DELETE FROM places WHERE NOT EXISTS (
    SELECT 1 FROM jobs WHERE jobs.row = places.row
        AND (state = {PROCESSING} AND places.position IS NULL
             OR state = {QUEUED} AND jobs.position >= {LOWEST_LIMITED} AND places.position IS NOT NULL))

-- name: let_in_forgotten
UPDATE jobs SET suspect = suspect - {LIMITED}, position = position - {LIMITED} * {SUSPECT_BAND}
WHERE row IN (
    SELECT jobs.row FROM queues JOIN jobs ON jobs.queue = queues.queue AND state = {QUEUED}
        AND jobs.position >= {LOWEST_LIMITED}
    WHERE NOT EXISTS (SELECT 1 FROM places WHERE places.row = jobs.row))

-- name: waited_for
SELECT digest, most, window_ms FROM places WHERE position IS NOT NULL GROUP BY digest

-- name: any_waiting
SELECT 1 FROM queues JOIN jobs ON jobs.queue = queues.queue AND state = {QUEUED} AND position >= {LOWEST_LIMITED}
LIMIT 1

-- name: declare_limits
INSERT INTO queues (type, limits) VALUES (?, ?)
ON CONFLICT (type) DO UPDATE SET limits = excluded.limits
WHERE queues.limits IS NOT excluded.limits

-- name: undeclare_limits
UPDATE queues SET limits = NULL
WHERE limits IS NOT NULL AND type IN (SELECT value FROM json_each(?))

-- name: limit_of
SELECT places.text FROM places JOIN jobs USING (row)
WHERE jobs.id = ? AND jobs.state = {QUEUED} AND places.position IS NOT NULL
