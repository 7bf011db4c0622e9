-- Pause or resume claiming of a type.
--
-- ARGV     type, "pause" or "resume", operator, reason, 1 if the HTTP API refuses new jobs too
-- returns  nothing
-- Invariant: repeating it changes nothing.

local key = P .. 'queue:' .. ARGV[4]
redis.call('SADD', P .. 'types', ARGV[4])
if ARGV[5] == 'pause' then
  redis.call('HSET', key, 'paused_by', ARGV[6], 'pause_reason', ARGV[7], 'intake_paused', ARGV[8])
else
  redis.call('HDEL', key, 'paused_by', 'pause_reason', 'intake_paused')
  add(woken, ARGV[4], 'jobs', redis.call('ZCARD', P .. 'queued:' .. ARGV[4]))
end
finish()
return 0
