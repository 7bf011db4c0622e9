-- Register a worker as waiting, unless there is work.
--
-- args     worker, most_ms: maximum milliseconds to wait, lane (0 normal, 1 suspects), types
-- returns  1 if there is work; otherwise 0, and the worker will be notified
-- Invariant: check and registration are one step, so that no job is missed in between.

local worker, until_ms, lane = args.worker, lease + args.most_ms, args.lane
for _, type in ipairs(args.types) do
  if redis.call('ZCARD', index_of(QUEUED, type, lane)) > 0
    and not redis.call('HGET', P .. 'queue:' .. type, 'paused_by') then
    return 1
  end
end
local names = {}
for _, type in ipairs(args.types) do
  names[#names + 1] = (lane == 1 and '!' or '') .. type
  redis.call('ZADD', P .. 'waiting:' .. names[#names], until_ms, worker)
end
redis.call('SET', P .. 'waits:' .. worker, table.concat(names, ' '), 'PX', int(math.max(args.most_ms, 1) + 60000))
return 0
