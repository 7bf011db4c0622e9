-- name: publish
INSERT INTO events (at, type, job_id, event_id, data) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (event_id) WHERE event_id IS NOT NULL DO NOTHING

-- name: read
SELECT position, at, type, job_id, fence, event_id, data FROM events
WHERE position > ? ORDER BY position LIMIT ?

-- name: last
SELECT position, at, type, job_id, fence, event_id, data FROM events
ORDER BY position DESC LIMIT ?

-- name: one
SELECT position, at, type, job_id, fence, event_id, data FROM events WHERE position = ?

-- name: oldest
SELECT coalesce(min(position), 0) FROM events

-- name: newest
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)

-- name: group
SELECT delivered FROM groups WHERE name = ?

-- name: set_group
INSERT INTO groups (name, delivered) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET delivered = excluded.delivered

-- name: overdue
SELECT position FROM deliveries WHERE name = ? AND again_at <= ? ORDER BY position LIMIT ?

-- name: deliver
INSERT INTO deliveries (name, position, consumer, again_at) VALUES (?, ?, ?, ?)
ON CONFLICT (name, position) DO UPDATE SET consumer = excluded.consumer, again_at = excluded.again_at

-- name: acknowledge
DELETE FROM deliveries WHERE name = ? AND position = ?

-- name: latest_sealed
SELECT position, at, type, job_id, fence, event_id, data FROM events
WHERE type = '{AUDIT_SEALED}' ORDER BY position DESC LIMIT 1
