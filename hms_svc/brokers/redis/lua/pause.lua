-- Pause or resume claiming of a type.
--
-- args     type, by (operator, "" to resume), reason, intake: 1 if the HTTP API refuses new jobs too
-- returns  nothing
-- Invariant: repeating it changes nothing.

local type = args.type
local key = P .. 'queue:' .. type
redis.call('SADD', P .. 'job-types', type)
if args.by ~= '' then
  redis.call('HSET', key, 'paused_by', args.by, 'pause_reason', args.reason, 'intake_paused', args.intake)
else
  redis.call('HDEL', key, 'paused_by', 'pause_reason', 'intake_paused')
  add(woken, type, 'jobs', redis.call('ZCARD', P .. 'queued:' .. type))
end
finish()
return 0
