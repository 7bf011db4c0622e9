-- name: one
SELECT jobs.*, queues.type AS type FROM jobs JOIN queues USING (queue) WHERE jobs.id = ?

-- name: slice
SELECT jobs.row, jobs.id, queues.type AS type, jobs.state, jobs.position, jobs.attempt,
       jobs.enqueued_at, jobs.reason, jobs.said_by, jobs.detail, jobs.data, jobs.priority,
       jobs.max_attempts, jobs.finished_at, jobs.started_at, jobs.worker, jobs.fence, jobs.suspect,
       jobs.case_id, jobs.failure, jobs.unique_key
FROM jobs JOIN queues USING (queue)
WHERE jobs.state = :state AND jobs.queue = :queue
  AND (jobs.position < :position OR (jobs.position = :position AND jobs.row < :row))
ORDER BY jobs.position DESC, jobs.row DESC LIMIT :limit

-- name: queues
SELECT queue, type, paused_by, pause_reason FROM queues ORDER BY type

-- name: tallies
SELECT queue, name, n FROM tallies
UNION ALL
SELECT queue, 'next due', (SELECT min(position) FROM jobs WHERE state = 1 AND queue = queues.queue)
FROM queues

-- name: next_ready
SELECT position, enqueued_at FROM jobs WHERE state = 2 AND queue = ? AND position >= ?
ORDER BY position LIMIT 1

-- name: turn
SELECT state, queue, position FROM jobs WHERE id = ?

-- name: ahead
SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 2 AND queue = ? AND position < ? LIMIT 10000)

-- name: workers
SELECT id, last_seen_at, info FROM workers WHERE seen_at >= ? ORDER BY id

-- name: in_hands
SELECT jobs.id, jobs.worker FROM queues
JOIN jobs ON jobs.queue = queues.queue AND jobs.state = 4 LIMIT 5000

-- name: progress
SELECT number, progress.at, share, message FROM progress JOIN jobs USING (row)
WHERE jobs.id = ? AND number > ? ORDER BY number

-- name: progress_of_row
SELECT number, at, share, message FROM progress WHERE row = ? ORDER BY number

-- name: requeue
UPDATE jobs SET state = 2, position = :now - priority * 8796093022208, attempt = 0, give_backs = 0,
    crashes = 0, suspect = 0, finished_at = NULL, reason = NULL, said_by = NULL, detail = NULL,
    failure = NULL, result = NULL, hold = NULL, not_before = NULL, expires_at = NULL,
    trail = coalesce(trail, '') || :line
WHERE row = :row

-- name: run_now
UPDATE jobs SET state = 2, position = :now - priority * 8796093022208, hold = NULL,
    reason = NULL, said_by = NULL, detail = NULL, finished_at = NULL,
    trail = coalesce(trail, '') || :line
WHERE row = :row

-- name: finish
UPDATE jobs SET state = :state, position = :now, finished_at = :now, reason = :reason,
    said_by = :said_by, detail = :detail, trail = coalesce(trail, '') || :line
WHERE row = :row

-- name: request_cancel
INSERT INTO cancel_requests (row, fence, said_by, detail) VALUES (?, ?, ?, ?)
ON CONFLICT (row) DO UPDATE
SET fence = excluded.fence, said_by = excluded.said_by, detail = excluded.detail

-- name: discard
UPDATE jobs SET undo_state = state, undo_position = position, state = 10, position = :now,
    batch = :batch, trail = coalesce(trail, '') || :line
WHERE row = :row

-- name: restore
UPDATE jobs SET state = undo_state, position = undo_position, undo_state = NULL,
    undo_position = NULL, batch = NULL, trail = coalesce(trail, '') || :line
WHERE row = :row

-- name: in_batch
SELECT row, id, queue, state, undo_state, unique_key FROM jobs WHERE batch = ? AND state = 10

-- name: last_batch
SELECT jobs.batch FROM queues JOIN jobs ON jobs.queue = queues.queue AND jobs.state = 10
WHERE jobs.position > ? ORDER BY jobs.position DESC LIMIT 1

-- name: pause
UPDATE queues SET paused_by = ?, pause_reason = ? WHERE queue = ?

-- name: oldest
SELECT row, id, queue, position FROM jobs WHERE state = ? AND queue = ? AND position < ?
ORDER BY position LIMIT ?

-- name: delete
DELETE FROM jobs WHERE row = ?

-- name: completed_in_order
SELECT position, row, queue FROM jobs WHERE state = 6 AND queue = ? ORDER BY position, row

-- name: ready_between
SELECT row, id FROM jobs WHERE state = 2 AND queue = ? AND position >= ? AND position < ?
ORDER BY position LIMIT ?

-- name: trim_events_beyond
DELETE FROM events WHERE position <= (SELECT max(position) FROM events) - :most
    AND position < (SELECT min(position) FROM events) + :limit

-- name: trim_events_before
DELETE FROM events WHERE position < (
    SELECT coalesce(min(position) FILTER (WHERE at >= :before), max(position) + 1)
    FROM (SELECT position, at FROM events ORDER BY position LIMIT :limit))

-- name: served
SELECT info FROM workers WHERE seen_at >= ?
