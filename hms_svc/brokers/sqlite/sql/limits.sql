-- What version 7 added: the limits that types declare, see type_limits.py, and results of steps, see steps.py.

-- name: create_places
CREATE TABLE IF NOT EXISTS places (
    row INTEGER NOT NULL,            -- of a running job that the limit counts, or of a queued one that waits for it
    digest TEXT NOT NULL,            -- identifies type, limit and value of its key
    position INTEGER,                -- of a queued job: its order; NULL for a running one
    text TEXT NOT NULL,              -- the limit in words
    window_ms INTEGER NOT NULL,      -- 0 for a limit of running jobs
    PRIMARY KEY (row, digest)
) WITHOUT ROWID

-- name: create_places_in_order
CREATE INDEX IF NOT EXISTS places_in_order ON places (digest, position)

-- A job that waits leaves the queue for whatever reason: it waits no longer.
-- name: create_place_left
CREATE TRIGGER IF NOT EXISTS place_left AFTER UPDATE OF state ON jobs
WHEN OLD.state = {QUEUED} AND OLD.position >= {LOWEST_LIMITED} BEGIN
    DELETE FROM places WHERE row = OLD.row;
END

-- name: create_limit_checks
CREATE TABLE IF NOT EXISTS limit_checks (
    digest TEXT PRIMARY KEY,         -- of a limit that jobs wait for
    queue INTEGER NOT NULL,
    number INTEGER NOT NULL,         -- its place among the limits of its type
    at INTEGER NOT NULL              -- when to look at it next, milliseconds of the lease clock
) WITHOUT ROWID

-- name: create_limit_checks_in_order
CREATE INDEX IF NOT EXISTS limit_checks_in_order ON limit_checks (at)

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
    until INTEGER NOT NULL,          -- when they leave its window
    n INTEGER NOT NULL               -- jobs that began then
)

-- name: create_starts_in_order
CREATE INDEX IF NOT EXISTS starts_in_order ON starts (digest, at)

-- name: create_starts_by_end
CREATE INDEX IF NOT EXISTS starts_by_end ON starts (until)

-- name: limits_of_queues
SELECT queue, paused_by, limits FROM queues WHERE paused_by IS NOT NULL OR limits IS NOT NULL

-- name: running
SELECT coalesce(sum(n), 0) FROM tallies WHERE queue = ? AND name = '{PROCESSING_NAME}'

-- name: holders
SELECT count(*) FROM places WHERE digest = ? AND position IS NULL

-- name: forget_starts
DELETE FROM starts WHERE digest = ? AND (at <= ? OR at > ?)

-- name: recent_starts
SELECT coalesce(sum(n), 0), min(at) FROM starts WHERE digest = ? AND n > 0

-- name: take_back_start
UPDATE starts SET n = n - 1 WHERE rowid = (SELECT rowid FROM starts WHERE digest = ? AND at = ? AND n > 0 LIMIT 1)

-- name: note_starts
INSERT INTO starts (digest, at, until, n) VALUES (?, ?, ?, ?)

-- More than one comes with each, so that those of keys that never come again do not stay.
-- name: forget_some_starts
DELETE FROM starts WHERE rowid IN (SELECT rowid FROM starts WHERE until <= ? ORDER BY until LIMIT 2)

-- name: claimed_row
SELECT jobs.enqueued_at - jobs.priority * {PRIORITY_STEP}, queues.queue, queues.limits,
    EXISTS (SELECT 1 FROM places WHERE places.row = jobs.row)
FROM jobs JOIN queues USING (queue) WHERE row = ? AND fence = ? AND state = {PROCESSING} AND id = ?

-- name: take_place
INSERT INTO places (row, digest, position, text, window_ms) VALUES (?, ?, ?, ?, ?)

-- name: look_at
INSERT INTO limit_checks (digest, queue, number, at) VALUES (?, ?, ?, ?)
ON CONFLICT (digest) DO UPDATE SET at = min(at, excluded.at)

-- name: queue_again
UPDATE jobs SET state = {QUEUED}, attempt = attempt - 1, claims = claims - 1, suspect = suspect + {LIMITED},
    position = enqueued_at - priority * {PRIORITY_STEP} + (suspect + {LIMITED}) * {SUSPECT_BAND}, worker = NULL
WHERE row = ?

-- name: leave_places
DELETE FROM places WHERE row IN (SELECT value FROM json_each(?)) RETURNING digest, window_ms

-- name: first_behind
SELECT places.row, expires_at, claims FROM places JOIN jobs USING (row)
WHERE digest = ? AND places.position IS NOT NULL ORDER BY places.position LIMIT ?

-- name: wait_no_longer
DELETE FROM places WHERE row = ?

-- name: let_in
UPDATE jobs SET suspect = suspect - {LIMITED}, position = position - {LIMITED} * {SUSPECT_BAND}
WHERE row = ? AND state = {QUEUED} AND position >= {LOWEST_LIMITED}

-- name: due_checks
SELECT digest, number, keyed_limits FROM limit_checks LEFT JOIN queues USING (queue)
WHERE at <= ? ORDER BY at LIMIT {LIMITS_AT_ONCE}

-- name: look_at_later
UPDATE limit_checks SET at = ? WHERE digest = ?

-- name: forget_unneeded_check
DELETE FROM limit_checks
WHERE digest = :digest AND NOT EXISTS (SELECT 1 FROM places WHERE digest = :digest AND position IS NOT NULL)

-- name: declare_limits
INSERT INTO queues (type, limits, keyed_limits) VALUES (?, ?, ?)
ON CONFLICT (type) DO UPDATE SET limits = excluded.limits, keyed_limits = excluded.keyed_limits
WHERE queues.limits IS NOT excluded.limits OR queues.keyed_limits IS NOT excluded.keyed_limits

-- name: undeclare_limits
UPDATE queues SET limits = NULL, keyed_limits = NULL
WHERE (limits IS NOT NULL OR keyed_limits IS NOT NULL) AND type IN (SELECT value FROM json_each(?))

-- name: limit_of
SELECT places.text FROM places JOIN jobs USING (row)
WHERE jobs.id = ? AND jobs.state = {QUEUED} AND places.position IS NOT NULL
