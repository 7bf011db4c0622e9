-- name: create_schedules
CREATE TABLE IF NOT EXISTS schedules (
    type TEXT PRIMARY KEY,
    state BLOB NOT NULL  -- ScheduleState (JSON)
) WITHOUT ROWID

-- name: state
SELECT state FROM schedules WHERE type = ?

-- name: states
SELECT type, state FROM schedules

-- name: keep
INSERT OR REPLACE INTO schedules (type, state) VALUES (?, ?)

-- name: state_of_job
SELECT state FROM jobs WHERE id = ?
