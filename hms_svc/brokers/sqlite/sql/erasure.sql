-- name: one
SELECT jobs.row, jobs.state, jobs.reason, jobs.decided_by, jobs.envelope, jobs.history, queues.type AS type
FROM jobs JOIN queues USING (queue) WHERE jobs.id = ?

-- name: erase
UPDATE jobs SET data = :data, result = NULL, raw = NULL, raw_length = NULL, raw_digest = NULL,
    unique_key = NULL, detail = NULL, failure = NULL, hold = NULL, envelope = :envelope,
    history = :history, cause = :cause
WHERE row = :row

-- name: drop_progress
DELETE FROM progress WHERE row = ?

-- name: drop_steps
DELETE FROM steps WHERE row = ?

-- name: forget_undo
DELETE FROM undo WHERE id IN (SELECT value FROM json_each(?))

-- name: events_of
SELECT position, event_id, data FROM events WHERE job_id IN (SELECT value FROM json_each(?))
    AND type <> '{AUDIT_SEALED}'  -- its subject is not a job, even if a job has the same id

-- name: erase_event
UPDATE events SET data = ? WHERE position = ?
