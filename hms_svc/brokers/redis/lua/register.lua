-- Add or renew a worker in the register, and remove stale entries.
--
-- args     worker, registration (JSON), now (Unix ms); types: for each that it serves: type, the priority that it
--          declares, 0 for none, its limits, and those with a key (JSON), empty for none
-- returns  nothing
-- Invariant: a stale entry is removed with the next heartbeat of any worker.

local workers, info = P .. 'workers', P .. 'worker_info'
redis.call('ZADD', workers, int(lease), args.worker)
redis.call('HSET', info, args.worker, int(args.now) .. ' ' .. args.registration)
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', workers, '-inf', int(lease - STALE_MS))) do
  redis.call('ZREM', workers, worker)
  redis.call('HDEL', info, worker)
  redis.call('HDEL', P .. 'worker-requests', worker)
end
for _, served in ipairs(args.types) do
  local queue, priority = P .. 'queue:' .. served[1], served[2]
  if priority == 0 then
    redis.call('HDEL', queue, 'priority')
  else
    redis.call('HSET', queue, 'priority', priority)
  end
  for name, limits in pairs({ limits = served[3], keyed_limits = served[4] }) do
    if limits == '' then redis.call('HDEL', queue, name) else redis.call('HSET', queue, name, limits) end
  end
end
return 0
