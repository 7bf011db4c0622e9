-- What version 8 added: batches, see batches.py. Their jobs have the id in jobs.member_of. Version 11 added grown_at,
-- version 12 closed_by and left_out.

-- name: create_batches
CREATE TABLE IF NOT EXISTS batches (
    id TEXT PRIMARY KEY,             -- removed with the last of its jobs, unless it is open
    digest TEXT NOT NULL,            -- of what was submitted
    condition TEXT NOT NULL,         -- domain.batches.When
    total INTEGER NOT NULL,          -- members and follow-ups
    is_open INTEGER NOT NULL DEFAULT 1,  -- until all members are accepted, or an operator closes it
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    closed_by TEXT NOT NULL DEFAULT '',  -- the operator who closed it before all members were accepted
    left_out INTEGER NOT NULL DEFAULT 0,  -- the members that were not accepted then
    grown_at INTEGER,                -- when its last members so far were accepted; NULL if that was before version 11
    ended_at INTEGER                 -- when no job of it was left that had not ended, and none to be made
)

-- name: add_grown_at
ALTER TABLE batches ADD COLUMN grown_at INTEGER

-- name: add_closed_by
ALTER TABLE batches ADD COLUMN closed_by TEXT NOT NULL DEFAULT ''

-- name: add_left_out
ALTER TABLE batches ADD COLUMN left_out INTEGER NOT NULL DEFAULT 0

-- name: create_batches_in_order
CREATE INDEX IF NOT EXISTS batches_in_order ON batches (created_at, id)

-- name: create_open_batches
CREATE INDEX IF NOT EXISTS open_batches ON batches (coalesce(grown_at, created_at)) WHERE is_open

-- name: create_follow_ups
CREATE TABLE IF NOT EXISTS follow_ups (
    batch TEXT NOT NULL,
    number INTEGER NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    job BLOB,                        -- as submitted (MessagePack), NULL once it was made, empty if it was erased before
    PRIMARY KEY (batch, number)
) WITHOUT ROWID

-- name: create_follow_ups_by_id
CREATE INDEX IF NOT EXISTS follow_ups_by_id ON follow_ups (id)

-- name: create_removed_members
CREATE TABLE IF NOT EXISTS removed_members (
    batch TEXT NOT NULL,
    state INTEGER NOT NULL,          -- in which they were removed
    n INTEGER NOT NULL,
    PRIMARY KEY (batch, state)
) WITHOUT ROWID

-- name: create_jobs_of_batch
CREATE INDEX IF NOT EXISTS jobs_of_batch ON jobs (member_of, state, position) WHERE member_of IS NOT NULL

-- name: create_member_removed
CREATE TRIGGER IF NOT EXISTS member_removed AFTER DELETE ON jobs WHEN OLD.member_of IS NOT NULL BEGIN
    INSERT INTO removed_members (batch, state, n) VALUES (OLD.member_of, OLD.state, 1)
        ON CONFLICT (batch, state) DO UPDATE SET n = n + 1;
    DELETE FROM batches WHERE id = OLD.member_of AND NOT is_open
        AND NOT EXISTS (SELECT 1 FROM jobs WHERE member_of = OLD.member_of);
END

-- name: create_batch_removed
CREATE TRIGGER IF NOT EXISTS batch_removed AFTER DELETE ON batches BEGIN
    DELETE FROM follow_ups WHERE batch = OLD.id;
    DELETE FROM removed_members WHERE batch = OLD.id;
END

-- Each process reports to itself the batches of which its transaction has ended a job, or undone an end.
-- name: report_moves
CREATE TEMP TRIGGER IF NOT EXISTS member_moved AFTER UPDATE OF state ON main.jobs
WHEN NEW.member_of IS NOT NULL AND max(OLD.state, NEW.state) >= {FIRST_TERMINAL} BEGIN
    SELECT note_moved_batch(NEW.member_of);
END

-- name: known
SELECT digest, is_open, left_out, closed_by FROM batches WHERE id = ?

-- name: taken
SELECT jobs.id FROM json_each(:ids) AS asked JOIN jobs ON jobs.id = asked.value
WHERE jobs.member_of IS NOT :batch
UNION ALL
SELECT follow_ups.id FROM json_each(:ids) AS asked JOIN follow_ups ON follow_ups.id = asked.value
WHERE follow_ups.batch <> :batch AND length(job) > 0
LIMIT 1

-- name: add
INSERT INTO batches (id, digest, condition, total, created_at, created_by) VALUES (?, ?, ?, ?, ?, ?)

-- name: add_follow_up
INSERT INTO follow_ups (batch, number, id, type, job) VALUES (?, ?, ?, ?, ?)

-- name: grow
UPDATE batches SET grown_at = ? WHERE id = ?

-- name: close
UPDATE batches SET is_open = 0 WHERE id = ?

-- name: to_close
SELECT is_open, closed_by, total - (SELECT count(*) FROM follow_ups WHERE batch = batches.id),
    (SELECT count(*) FROM jobs WHERE member_of = batches.id)
        + (SELECT coalesce(sum(n), 0) FROM removed_members WHERE batch = batches.id)
FROM batches WHERE id = ?

-- name: close_early
UPDATE batches SET is_open = 0, total = total - :members + :accepted, closed_by = :by, left_out = :left_out
WHERE id = :id

-- name: remove_if_empty
DELETE FROM batches WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE member_of = ?1)

-- name: left_open
SELECT id, count(*) OVER () AS number FROM batches WHERE is_open AND coalesce(grown_at, created_at) < ?
ORDER BY coalesce(grown_at, created_at), id LIMIT ?

-- name: standing
SELECT is_open, condition, ended_at,
    EXISTS (SELECT 1 FROM jobs WHERE member_of = batches.id AND state < {FIRST_TERMINAL}),
    EXISTS (SELECT 1 FROM jobs WHERE member_of = batches.id AND state > {COMPLETED})
        OR EXISTS (SELECT 1 FROM removed_members WHERE batch = batches.id AND state > {COMPLETED}),
    (SELECT min(number) FROM follow_ups WHERE batch = batches.id AND job IS NOT NULL)
FROM batches WHERE id = ?

-- name: follow_up
SELECT id, type, job FROM follow_ups WHERE batch = ? AND number = ?

-- name: note_made
UPDATE follow_ups SET job = NULL WHERE batch = ? AND number = ?

-- name: end
UPDATE batches SET ended_at = ? WHERE id = ?

-- name: newest
SELECT * FROM batches WHERE (created_at, id) < (:at, :id) ORDER BY created_at DESC, id DESC LIMIT :limit

-- name: named
SELECT * FROM batches WHERE id = ?

-- name: counts
SELECT member_of AS batch, state, count(*) AS n FROM json_each(:ids) AS asked
JOIN jobs ON jobs.member_of = asked.value GROUP BY member_of, state
UNION ALL
SELECT batch, state, n FROM json_each(:ids) AS asked JOIN removed_members ON batch = asked.value

-- name: follow_ups
SELECT batch, follow_ups.id, follow_ups.type, job IS NULL AS is_made FROM json_each(:ids) AS asked
JOIN follow_ups ON follow_ups.batch = asked.value ORDER BY batch, number

-- name: to_make
SELECT batch FROM follow_ups WHERE id = ? AND length(job) > 0

-- name: erasable
SELECT batch, is_open OR ended_at IS NOT NULL FROM follow_ups JOIN batches ON batches.id = batch
WHERE follow_ups.id = ? AND length(job) > 0

-- name: erase_follow_up
UPDATE follow_ups SET job = x'' WHERE id = ? AND job IS NOT NULL

-- name: note_skipped
UPDATE batches SET total = total - 1 WHERE id = ?
