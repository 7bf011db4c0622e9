-- part: VIEW_COLUMNS
jobs.row, jobs.id, queues.type AS type, jobs.state, jobs.position, jobs.attempt,
       jobs.enqueued_at, jobs.reason, jobs.decided_by, jobs.detail, jobs.data, jobs.priority,
       jobs.max_attempts, jobs.finished_at, jobs.started_at, jobs.worker, jobs.fence, jobs.suspect,
       jobs.case_id, jobs.failure, jobs.unique_key, jobs.cause, jobs.approved, jobs.member_of

-- Of a window of rows, those for which the condition of the prefilter holds, which is put in place of TRUE,
-- and the last; `number` is the place of a row in the window, `seen` how many rows that has.
-- part: PREFILTERED
window AS MATERIALIZED (
    SELECT row, row_number() OVER (ORDER BY position DESC, row DESC) AS number FROM chosen),
passed AS (
    SELECT window.row, window.number FROM window CROSS JOIN jobs USING (row)
    WHERE (TRUE) OR window.number = (SELECT count(*) FROM window)
    ORDER BY window.number LIMIT :limit),
sized AS (
    SELECT passed.row, passed.number, sum(length(jobs.data)) OVER (ORDER BY passed.number)
        - length(jobs.data) AS before
    FROM passed CROSS JOIN jobs USING (row))
SELECT (SELECT count(*) FROM window) AS seen, sized.number, {VIEW_COLUMNS}
FROM sized CROSS JOIN jobs USING (row) JOIN queues USING (queue)
WHERE sized.before < :bytes
ORDER BY sized.number

-- name: one
SELECT jobs.*, queues.type AS type FROM jobs JOIN queues USING (queue) WHERE jobs.id = ?

-- name: slice_of_queue
WITH chosen AS (
    SELECT row, position FROM jobs
    WHERE state = :state AND queue = :queue AND (position, row) < (:position, :row)
    ORDER BY position DESC, row DESC LIMIT :window),
{PREFILTERED}

-- name: slice
WITH chosen AS (
    SELECT jobs.row, jobs.position FROM json_each(:queues) AS place CROSS JOIN jobs ON jobs.row IN (
        SELECT row FROM jobs
        WHERE state = :state AND queue = place.value AND (position, row) < (:position, :row)
        ORDER BY position DESC, row DESC LIMIT :window)
    ORDER BY jobs.position DESC, jobs.row DESC LIMIT :window),
{PREFILTERED}

-- name: slice_of_causes
WITH chosen AS (
    SELECT jobs.row, jobs.position FROM json_each(:causes) AS place CROSS JOIN jobs ON jobs.row IN (
        SELECT row FROM jobs
        WHERE cause = place.value AND cause IS NOT NULL AND state IN ({GROUPED})
            AND (position, row) < (:position, :row)
        ORDER BY position DESC, row DESC LIMIT :window)
    ORDER BY jobs.position DESC, jobs.row DESC LIMIT :window),
{PREFILTERED}

-- name: slice_of_batches
WITH chosen AS (
    SELECT jobs.row, jobs.position FROM json_each(:batches) AS place CROSS JOIN jobs ON jobs.row IN (
        SELECT row FROM jobs
        WHERE member_of = place.value AND state = :state AND (position, row) < (:position, :row)
        ORDER BY position DESC, row DESC LIMIT :window)
    ORDER BY jobs.position DESC, jobs.row DESC LIMIT :window),
{PREFILTERED}

-- name: named
SELECT {VIEW_COLUMNS}
FROM json_each(:ids) AS wanted JOIN jobs ON jobs.id = wanted.value JOIN queues USING (queue)
WHERE jobs.state < {DISCARDED} ORDER BY jobs.id

-- name: queues
SELECT queue, type FROM queues ORDER BY type

-- name: queues_of
SELECT queue, type, paused_by, pause_reason, intake_paused, limits, keyed_limits FROM queues
WHERE type IN (SELECT value FROM json_each(:types)) ORDER BY type

-- name: tallies
SELECT queue, name, n FROM tallies
WHERE queue IN (SELECT queue FROM queues WHERE type IN (SELECT value FROM json_each(:types)))
UNION ALL
SELECT queue, 'next due', (SELECT min(position) FROM jobs WHERE state = {SCHEDULED} AND queue = queues.queue)
FROM queues WHERE type IN (SELECT value FROM json_each(:types))
UNION ALL
SELECT queue, 'overdue', (SELECT count(*) FROM jobs
    WHERE state = {PROCESSING} AND queue = queues.queue AND position <= :lease_now)
FROM queues WHERE type IN (SELECT value FROM json_each(:types))
UNION ALL
SELECT queue, 'limited', (SELECT count(*) FROM jobs
    WHERE state = {QUEUED} AND queue = queues.queue AND position >= {LOWEST_LIMITED})
FROM queues WHERE type IN (SELECT value FROM json_each(:types))
UNION ALL
SELECT queue, 'suspects', (SELECT count(*) FROM jobs
    WHERE state = {QUEUED} AND queue = queues.queue
        AND position >= {LOWEST_SUSPECT} AND position < {LOWEST_LIMITED})
FROM queues WHERE type IN (SELECT value FROM json_each(:types))
UNION ALL
SELECT queue, 'first lease', (SELECT min(position) FROM jobs WHERE state = {PROCESSING} AND queue = queues.queue)
FROM queues WHERE type IN (SELECT value FROM json_each(:types))

-- name: next_ready
SELECT position FROM jobs WHERE state = {QUEUED} AND queue = ? AND position >= ? ORDER BY position LIMIT 1

-- name: next_ready_of
SELECT jobs.queue, jobs.position, jobs.enqueued_at FROM json_each(?) AS asked
JOIN jobs ON jobs.row = (
  SELECT row FROM jobs
  WHERE state = {QUEUED} AND queue = json_extract(asked.value, '$[0]')
    AND position >= json_extract(asked.value, '$[1]')
  ORDER BY position LIMIT 1
)

-- name: position
SELECT state, queue, position FROM jobs WHERE id = ?

-- name: ahead
SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = {QUEUED} AND queue = ? AND position < ? LIMIT {MOST_AHEAD})

-- name: workers
SELECT id, last_seen_at, info, request, seen_at >= ? AS is_live FROM workers ORDER BY id

-- name: ask_worker
UPDATE workers SET request = ? WHERE id = ?

-- name: lease_end
SELECT position FROM jobs WHERE id = ? AND state = {PROCESSING}

-- name: running
SELECT jobs.id, jobs.worker, jobs.position FROM queues
JOIN jobs ON jobs.queue = queues.queue AND jobs.state = {PROCESSING} LIMIT {MOST_RUNNING}

-- name: progress
SELECT jobs.id, number, progress.at, share, message, log
FROM json_each(?) AS asked CROSS JOIN jobs ON jobs.id = asked.key
CROSS JOIN progress ON progress.row = jobs.row AND progress.number > asked.value
ORDER BY jobs.row, number

-- name: progress_of_row
SELECT number, at, share, message, log FROM progress WHERE row = ? ORDER BY number

-- name: requeue
UPDATE jobs SET state = {QUEUED}, position = :turn - priority * {PRIORITY_STEP}, attempt = 0, give_backs = 0,
    crashes = 0, suspect = 0, finished_at = NULL, reason = NULL, decided_by = NULL, detail = NULL,
    failure = NULL, result = NULL, hold = NULL, not_before = NULL, expires_at = NULL, cause = NULL,
    history = coalesce(history, '') || :line
WHERE row = :row

-- name: run_now
UPDATE jobs SET state = {QUEUED}, position = :turn - priority * {PRIORITY_STEP}, hold = NULL,
    reason = NULL, decided_by = NULL, detail = NULL, finished_at = NULL, cause = NULL,
    history = coalesce(history, '') || :line
WHERE row = :row

-- name: approve
UPDATE jobs SET approved = coalesce(approved || ',', '') || :hold WHERE row = :row

-- name: finish
UPDATE jobs SET state = :state, position = :now, finished_at = :now, reason = :reason,
    decided_by = :decided_by, detail = :detail, history = coalesce(history, '') || :line, cause = :cause,
    case_id = coalesce(case_id, :case_id),
    approved = CASE WHEN :reason = '{REASON_GOVERNANCE}' THEN '{DENIED}' ELSE approved END
WHERE row = :row

-- name: request_cancel
INSERT INTO cancel_requests (row, fence, decided_by, detail) VALUES (?, ?, ?, ?)
ON CONFLICT (row) DO UPDATE
SET fence = excluded.fence, decided_by = excluded.decided_by, detail = excluded.detail

-- name: discard
UPDATE jobs SET state = {DISCARDED}, position = :now, cause = cause, history = coalesce(history, '') || :line
WHERE row = :row

-- name: remember
INSERT OR REPLACE INTO undo (batch, id, at, to_state, to_position, fence, state, position, attempt,
    give_backs, crashes, suspect, not_before, expires_at, finished_at, reason, decided_by, detail,
    failure, hold, cause, result, approved)
SELECT :batch, id, :now, state, position, fence, :state, :position, :attempt, :give_backs, :crashes,
    :suspect, :not_before, :expires_at, :finished_at, :reason, :decided_by, :detail, :failure, :hold,
    :cause, :result, :approved
FROM jobs WHERE row = :row

-- name: in_batch
SELECT undo.id, undo.to_state, undo.to_position, undo.fence AS to_fence, undo.state AS was,
       jobs.row, jobs.queue, jobs.state, jobs.position, jobs.fence, jobs.unique_key,
       (jobs.unique_until = 0 AND undo.state < {FIRST_TERMINAL}
           OR jobs.unique_until = 1 AND undo.state <= {QUEUED} AND jobs.fence = 0)
       AND EXISTS (
           SELECT 1 FROM (SELECT row, queue, unique_key FROM jobs WHERE unique_key IS NOT NULL AND {HOLDS_KEY}) AS other
           WHERE other.queue = jobs.queue AND other.unique_key = jobs.unique_key AND other.row <> jobs.row
       ) AS is_taken
FROM undo LEFT JOIN jobs USING (id)
WHERE undo.batch = :batch AND undo.at > :since AND undo.id > :after ORDER BY undo.id LIMIT :limit

-- name: undoable
SELECT count(*) FROM undo WHERE batch = ? AND at > ? AND id > ?

-- name: remember_asked
UPDATE undo SET asked = 1 WHERE batch = ? AND id = ? AND NOT asked

-- name: restore
UPDATE jobs SET state = was.state, attempt = was.attempt,
    position = CASE WHEN was.state = {QUEUED} AND was.position >= {LOWEST_LIMITED}
        THEN was.position - {LIMITED} * {SUSPECT_BAND} ELSE was.position END,
    give_backs = was.give_backs, crashes = was.crashes, suspect = was.suspect % {LIMITED},
    not_before = was.not_before, expires_at = was.expires_at, finished_at = was.finished_at,
    reason = was.reason, decided_by = was.decided_by, detail = was.detail, failure = was.failure,
    hold = was.hold, cause = was.cause, result = was.result, approved = was.approved,
    history = coalesce(jobs.history, '') || :line
FROM undo AS was WHERE jobs.row = :row AND was.batch = :batch AND was.id = jobs.id

-- name: forget_undone
DELETE FROM undo WHERE batch = ? AND id = ?

-- name: last_batch
SELECT batch FROM undo WHERE at > ? AND NOT asked ORDER BY at DESC, rowid DESC LIMIT 1

-- name: batches
SELECT batch, max(at) AS newest, min(id) AS id, count(*) AS jobs FROM undo
WHERE at > :since AND CASE WHEN :name = '' THEN NOT asked ELSE batch = :name END
GROUP BY batch ORDER BY newest DESC, max(rowid) DESC LIMIT :limit

-- name: trim_undo
DELETE FROM undo WHERE rowid IN (SELECT rowid FROM undo WHERE at <= ? ORDER BY at LIMIT ?)

-- name: trim_arrivals
DELETE FROM arrivals WHERE slot < ?

-- name: knows_cause
SELECT EXISTS (SELECT 1 FROM causes WHERE cause = ?), (SELECT count(*) FROM causes)

-- name: failures
SELECT causes.cause AS "group", causes.n, failing.first_at, failing.last_at,
       (SELECT min(position) FROM jobs
        WHERE cause = causes.cause AND cause IS NOT NULL AND state IN ({GROUPED})) AS lowest,
       jobs.id, queues.type AS type, jobs.state, jobs.position, jobs.attempt, jobs.enqueued_at,
       jobs.reason, jobs.decided_by, jobs.detail, x'' AS data, jobs.priority, jobs.max_attempts,
       jobs.finished_at, jobs.started_at, jobs.worker, jobs.fence, jobs.suspect, jobs.case_id,
       jobs.failure, jobs.unique_key, jobs.cause, jobs.approved, jobs.member_of
FROM causes LEFT JOIN failing USING (cause) JOIN jobs ON jobs.row = coalesce(
    (SELECT row FROM jobs WHERE id = failing.newest AND cause = causes.cause AND state = {RETRYING}),
    (SELECT row FROM jobs WHERE cause = causes.cause AND cause IS NOT NULL AND state IN ({GROUPED})
     ORDER BY position DESC, row DESC LIMIT 1))
JOIN queues USING (queue)

-- name: note_failure
INSERT INTO failing (cause, first_at, last_at, newest, until) VALUES (:cause, :at, :at, :job, :at)
ON CONFLICT (cause) DO UPDATE SET
    first_at = CASE WHEN until <= :at - {SLOT_MS} * {SLOTS}
            AND NOT EXISTS (SELECT 1 FROM causes WHERE causes.cause = failing.cause)
        THEN :at ELSE first_at END,
    last_at = :at, newest = :job, until = max(until, :at)

-- name: count_failure
INSERT INTO arrivals (cause, slot, n) VALUES (:cause, :at / {SLOT_MS}, 1)
ON CONFLICT (cause, slot) DO UPDATE SET n = n + 1

-- name: surplus_histories
SELECT cause FROM failing ORDER BY last_at LIMIT max(0, (SELECT count(*) FROM failing) - ?)

-- name: forget_history
DELETE FROM failing WHERE cause = ?

-- name: forget_failures
DELETE FROM arrivals WHERE cause = ?

-- name: trim_failing
DELETE FROM failing WHERE until <= ? AND NOT EXISTS (SELECT 1 FROM causes WHERE causes.cause = failing.cause)

-- name: arrivals
SELECT cause, slot, n FROM arrivals WHERE slot > ? AND slot <= ?

-- name: failed_without_cause
SELECT jobs.row, jobs.state, queues.type, jobs.reason, jobs.decided_by, jobs.detail, jobs.failure
FROM queues JOIN jobs ON jobs.queue = queues.queue AND jobs.state = ? WHERE jobs.cause IS NULL

-- name: failed_row_without_cause
SELECT jobs.row, jobs.state, queues.type, jobs.reason, jobs.decided_by, jobs.detail, jobs.failure
FROM jobs JOIN queues USING (queue)
WHERE jobs.row = ? AND jobs.cause IS NULL AND jobs.state IN ({GROUPED})

-- name: pause
UPDATE queues SET paused_by = ?, pause_reason = ?, intake_paused = ? WHERE queue = ?

-- name: waiting
SELECT jobs.id, jobs.fence FROM queues JOIN jobs USING (queue)
WHERE queues.type = ? AND jobs.state = ? ORDER BY jobs.position LIMIT ?

-- name: oldest
SELECT row, id, queue, position FROM jobs WHERE state = ? AND queue = ? AND position < ?
ORDER BY position LIMIT ?

-- name: oldest_from
SELECT id FROM jobs WHERE state = ? AND queue = ? AND position < ? ORDER BY position LIMIT ? OFFSET ?

-- name: ended
SELECT row, queue, state FROM jobs WHERE id = ? AND state >= {FIRST_TERMINAL}

-- name: delete
DELETE FROM jobs WHERE row = ?

-- name: completed_in_order
SELECT position, row, queue FROM jobs WHERE state = {COMPLETED} AND queue = ? ORDER BY position, row

-- name: ready_between
SELECT row, id FROM jobs WHERE state = {QUEUED} AND queue = ? AND position >= ? AND position < ?
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

-- name: have_causes_drifted
SELECT (SELECT total(n) FROM causes)
    <> (SELECT total(n) FROM tallies WHERE name IN ({GROUPED_NAMES}))

-- name: are_causes_sound
SELECT count(*) = (SELECT total(n) FROM causes)
    AND count(*) = (SELECT count(*) FROM jobs WHERE cause IS NOT NULL AND state IN ({GROUPED}))
FROM jobs WHERE state IN ({GROUPED})

-- name: forget_causes
DELETE FROM causes

-- name: recount_causes
INSERT INTO causes (cause, n)
SELECT cause, count(*) FROM jobs WHERE cause IS NOT NULL AND state IN ({GROUPED}) GROUP BY cause

-- name: forget_arrivals
DELETE FROM arrivals WHERE cause NOT IN (SELECT cause FROM failing)

-- name: recount_arrivals
INSERT INTO arrivals (cause, slot, n)
SELECT cause, position / {SLOT_MS}, count(*) FROM jobs
WHERE cause IS NOT NULL AND state IN ({GROUPED}) AND state <> {RETRYING} AND position > (
    SELECT max(position) FROM jobs WHERE cause IS NOT NULL AND state IN ({GROUPED}) AND state <> {RETRYING}) - {SLOT_MS} * ({SLOTS} + 1)
GROUP BY cause, position / {SLOT_MS}

-- name: remember_older_discards
INSERT INTO undo (batch, id, at, to_state, to_position, fence, state, position, attempt, give_backs,
    crashes, suspect, not_before, expires_at, finished_at, reason, decided_by, detail, failure, hold, result)
SELECT batch, id, position, state, position, fence, undo_state, undo_position, attempt, give_backs,
    crashes, suspect, not_before, expires_at, finished_at, reason, decided_by, detail, failure, hold, result
FROM jobs WHERE state = {DISCARDED} AND batch IS NOT NULL AND undo_state IS NOT NULL

-- name: idle_queues
SELECT queue FROM queues
WHERE paused_by IS NULL AND priority = 0 AND type NOT IN (SELECT value FROM json_each(:served))
    AND NOT EXISTS (SELECT 1 FROM unique_windows WHERE unique_windows.queue = queues.queue)
    AND NOT EXISTS (
        SELECT 1 FROM (VALUES {EACH_STATE}) AS states
        JOIN jobs ON jobs.state = states.column1 AND jobs.queue = queues.queue
    )
    AND (:among IS NULL OR queue IN (SELECT value FROM json_each(:among)))
LIMIT :limit

-- name: forget_queue
DELETE FROM queues WHERE queue = ?

-- name: forget_tallies
DELETE FROM tallies WHERE queue = ?
