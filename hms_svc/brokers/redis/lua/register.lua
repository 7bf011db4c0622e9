-- Add or renew a worker in the register, and remove stale entries.
--
-- ARGV     worker, its registration (JSON), wall time, milliseconds without a heartbeat after which an entry is removed,
--          then for each type that it serves: type, the priority that it declares
-- returns  nothing
-- Invariant: a stale entry is removed with the next heartbeat of any worker.

local workers, info = P .. 'workers', P .. 'worker_info'
redis.call('ZADD', workers, int(lease), ARGV[4])
redis.call('HSET', info, ARGV[4], ARGV[6] .. ' ' .. ARGV[5])
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', workers, '-inf', int(lease - ARGV[7]))) do
  redis.call('ZREM', workers, worker)
  redis.call('HDEL', info, worker)
  redis.call('HDEL', P .. 'worker_wishes', worker)
end
for at = 8, #ARGV, 2 do
  local queue, priority = P .. 'queue:' .. ARGV[at], ARGV[at + 1]
  if priority == '0' then
    redis.call('HDEL', queue, 'priority')
  else
    redis.call('HSET', queue, 'priority', priority)
  end
end
return 0
