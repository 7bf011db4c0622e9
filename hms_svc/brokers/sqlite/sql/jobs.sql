-- name: insert
INSERT INTO jobs (id, queue, state, position, priority, enqueued_at, not_before, expires_at,
                  max_attempts, unique_key, envelope, data, member_of)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING

-- name: insert_refused
INSERT INTO jobs (id, queue, state, position, priority, enqueued_at, finished_at, reason, decided_by,
                  detail, envelope, data, raw, raw_length, raw_digest, unique_key, member_of, unique_until)
VALUES (:id, :queue, :state, :at, :priority, :at, :at, :reason, :decided_by,
        :detail, :envelope, :data, :raw, :raw_length, :raw_digest, :unique_key, :member_of, :unique_until)
ON CONFLICT (id) DO NOTHING

-- name: identify
SELECT jobs.id, queues.type, jobs.state, jobs.data, jobs.reason, jobs.detail
FROM jobs JOIN queues USING (queue) WHERE jobs.id = ?

-- name: take_key
UPDATE jobs SET unique_key = :key WHERE row = :row AND fence = :fence AND state = {PROCESSING}

-- name: key_of
SELECT unique_key FROM jobs WHERE row = :row AND fence = :fence AND state = {PROCESSING} AND id = :id

-- name: ready
SELECT row, id, data, envelope, enqueued_at, priority, expires_at, not_before, max_attempts,
       unique_key, attempt, claims, give_backs, approved, member_of
FROM jobs WHERE state = {QUEUED} AND queue = ? AND position >= ? AND position < ?
ORDER BY position LIMIT ?

-- name: claim
UPDATE jobs SET state = {PROCESSING}, position = :until, fence = :first_fence + chosen.key,
    attempt = attempt + 1, claims = claims + 1, max_attempts = coalesce(max_attempts, :most),
    started_at = :now, worker = :worker, lane = :lane
FROM json_each(:rows) AS chosen WHERE jobs.row = chosen.value

-- name: settle
UPDATE jobs SET
    state = done.column1,
    position = CASE WHEN done.column1 = {QUEUED}
        THEN enqueued_at - priority * {PRIORITY_STEP} + suspect * {SUSPECT_BAND}
        ELSE done.column2 END,
    suspect = CASE WHEN done.column1 = {QUEUED} THEN suspect ELSE 0 END,
    finished_at = CASE WHEN done.column1 >= {FIRST_TERMINAL} THEN done.column3 END,
    reason = done.column4, decided_by = done.column5, detail = done.column6, result = done.column7,
    case_id = coalesce(done.column8, case_id), failure = done.column9, hold = done.column10,
    approved = CASE WHEN done.column1 IN ({FAILED}) AND done.column4 = '{REASON_GOVERNANCE}' THEN '{DENIED}'
        ELSE approved END,
    attempt = attempt - done.column11, give_backs = give_backs + done.column12,
    history = CASE WHEN history IS NULL THEN done.column13 WHEN length(history) > {HISTORY_MOST}
        THEN substr(history, {HISTORY_KEPT} + instr(substr(history, {HISTORY_KEPT}), char(10))) || done.column13
        ELSE history || done.column13 END,
    worker = NULL
FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)) AS done
WHERE jobs.row = done.column14 AND fence = done.column15 AND jobs.state = {PROCESSING} AND id = done.column16

-- name: file_under
UPDATE jobs SET cause = ? WHERE id = ?

-- name: owned
SELECT 1 FROM jobs WHERE row = ? AND fence = ? AND state = {PROCESSING}

-- name: extend
UPDATE jobs SET position = ? WHERE row = ? AND fence = ? AND state = {PROCESSING}

-- name: abandon
UPDATE jobs SET position = 0 WHERE worker = ? AND state = {PROCESSING}

-- name: void_leases
UPDATE jobs SET position = 0 WHERE state = {PROCESSING}

-- name: any_due
SELECT EXISTS (
    SELECT 1 FROM (VALUES ({SCHEDULED}), ({RETRYING})) AS waiting JOIN queues
    JOIN jobs ON jobs.queue = queues.queue AND jobs.state = waiting.column1 AND jobs.position <= :now),
EXISTS (SELECT 1 FROM limit_checks WHERE at <= :lease_now)

-- name: due
SELECT jobs.row, jobs.queue, jobs.state FROM queues
JOIN jobs ON jobs.queue = queues.queue AND jobs.state = :state AND jobs.position <= :now
LIMIT :limit

-- name: make_ready
UPDATE jobs SET state = {QUEUED}, position = max(position, enqueued_at) - priority * {PRIORITY_STEP},
    history = coalesce(history, '') || ?
WHERE row = ?

-- name: try_again
UPDATE jobs SET state = {QUEUED}, position = max(position, enqueued_at) - priority * {PRIORITY_STEP},
    cause = NULL, history = coalesce(history, '') || ?
WHERE row = ?

-- name: lapsed
SELECT jobs.row, jobs.id, jobs.queue, queues.type, jobs.fence, jobs.attempt, jobs.max_attempts,
       jobs.crashes, jobs.lane, jobs.worker, jobs.started_at
FROM queues JOIN jobs ON jobs.queue = queues.queue AND jobs.state = {PROCESSING} AND jobs.position <= :now
LIMIT :limit

-- name: rescue
UPDATE jobs SET state = {QUEUED}, suspect = 1, attempt = attempt - :give_back, crashes = :crashes,
    position = enqueued_at - priority * {PRIORITY_STEP} + {SUSPECT_BAND},
    history = coalesce(history, '') || :line, worker = NULL, failure = :failure
WHERE row = :row

-- name: end_lapsed
UPDATE jobs SET state = :state, suspect = 0, crashes = :crashes, position = :now,
    finished_at = :now, reason = :reason, decided_by = :by, detail = :detail, failure = :failure,
    history = coalesce(history, '') || :line, worker = NULL, cause = :cause
WHERE row = :row

-- name: give_up
UPDATE jobs SET state = {DEAD}, position = :now, finished_at = :now, reason = :reason,
    decided_by = :decided_by, detail = :detail, history = coalesce(history, '') || :line, cause = :cause
WHERE row = :row

-- name: signals
SELECT jobs.id, cancel_requests.decided_by, cancel_requests.detail, NULL
FROM cancel_requests JOIN jobs ON jobs.row = cancel_requests.row
WHERE jobs.worker = :worker AND jobs.state = {PROCESSING} AND jobs.fence = cancel_requests.fence
UNION ALL
SELECT NULL, NULL, NULL, request FROM workers WHERE id = :worker AND request IS NOT NULL
UNION ALL
SELECT NULL, NULL, NULL, NULL WHERE EXISTS (
    SELECT 1 FROM json_each(:types) AS served JOIN queues ON queues.type = served.value
    JOIN jobs ON jobs.queue = queues.queue AND jobs.state = {QUEUED}
        AND jobs.position >= {LOWEST_SUSPECT} AND jobs.position < {LOWEST_LIMITED})

-- name: cancellations
SELECT cancel_requests.row, cancel_requests.fence, cancel_requests.decided_by, cancel_requests.detail,
       jobs.case_id
FROM cancel_requests LEFT JOIN jobs USING (row)

-- name: forget_cancellations
DELETE FROM cancel_requests WHERE NOT EXISTS (
    SELECT 1 FROM jobs
    WHERE jobs.row = cancel_requests.row AND jobs.fence = cancel_requests.fence AND jobs.state = {PROCESSING})

-- name: tally
INSERT INTO tallies (queue, name, n) VALUES (?, ?, ?)
ON CONFLICT (queue, name) DO UPDATE SET n = n + excluded.n

-- name: announce
INSERT INTO events (at, type, job_id, fence, data) VALUES (?, ?, ?, ?, ?)

-- name: add_progress
INSERT INTO progress (row, number, at, share, message, log)
SELECT :row, coalesce((SELECT max(number) FROM progress WHERE row = :row), 0) + 1, :at, :share,
    :message, :log

-- name: cap_progress
DELETE FROM progress WHERE row = :row
    AND number <= (SELECT max(number) FROM progress WHERE row = :row) - {PROGRESS_LINES}

-- name: drop_progress
DELETE FROM progress WHERE row = ?

-- name: other_steps
SELECT count(*) FROM steps WHERE row = ? AND name <> ?

-- name: keep_step
INSERT OR REPLACE INTO steps (row, name, value) VALUES (?, ?, ?)

-- name: drop_steps
DELETE FROM steps WHERE row = ?

-- name: steps_of
SELECT jobs.id, steps.name, steps.value FROM json_each(?) AS asked
CROSS JOIN jobs ON jobs.id = asked.value JOIN steps ON steps.row = jobs.row

-- name: register
INSERT INTO workers (id, seen_at, last_seen_at, info) VALUES (?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE
SET seen_at = excluded.seen_at, last_seen_at = excluded.last_seen_at, info = excluded.info

-- name: forget_workers
DELETE FROM workers WHERE seen_at < ?

-- name: declare_priority
INSERT INTO queues (type, priority) VALUES (?, ?)
ON CONFLICT (type) DO UPDATE SET priority = excluded.priority
WHERE queues.priority <> excluded.priority

-- name: undeclare_priorities
UPDATE queues SET priority = 0
WHERE priority <> 0 AND type IN (SELECT value FROM json_each(?))

-- name: queue_of
SELECT queue, limits IS NOT NULL, EXISTS (SELECT 1 FROM places), priority FROM queues WHERE type = ?

-- name: add_queue
INSERT INTO queues (type) VALUES (?) RETURNING queue, 0, 0, priority

-- name: take_turns
INSERT INTO meta (name, value) VALUES ('turn', :now + :count - 1)
ON CONFLICT (name) DO UPDATE SET value = max(value + :count, excluded.value)
RETURNING value
