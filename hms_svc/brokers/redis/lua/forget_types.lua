-- Remove types that have no jobs and that no worker serves.
--
-- args     types; the caller knows that no live worker serves them
-- returns  how many were removed
-- Invariant: a type with a job, a pushed item, a pause or a declared priority stays; its running counters are removed
--            with it.

local function has_something(type)
  for state = 1, LAST_STATE do
    if redis.call('EXISTS', index_of(state, type)) == 1 then return true end
  end
  return redis.call('EXISTS', P .. 'taken:' .. type, 'jobs:' .. type) > 0
    or further_queued(type) > 0
    or redis.call('HGET', P .. 'queue:' .. type, 'paused_by')
    or redis.call('HGET', P .. 'queue:' .. type, 'priority')
end

local forgotten = 0
for _, type in ipairs(args.types) do
  if not has_something(type) then
    for _, family in ipairs({ 'queue', 'unique', 'waiting', 'places' }) do redis.call('DEL', P .. family .. ':' .. type) end
    redis.call('DEL', P .. 'waiting:!' .. type)
    redis.call('ZREM', P .. 'due', '1 ' .. type, '5 ' .. type)
    redis.call('ZREM', P .. 'leases', '4 ' .. type)
    redis.pcall('DEL', 'stats:' .. type)
    redis.call('SREM', P .. 'job-types', type)
    forgotten = forgotten + 1
  end
end
return forgotten
