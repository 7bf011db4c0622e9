-- Show or renew a worker in the register, and forget those long unseen.
--
-- ARGV     worker, its registration (JSON), time for people, milliseconds unseen after which one is forgotten,
--          then for each type that it serves: type, the priority that it declares
-- returns  nothing of meaning
-- Invariant: a stale entry goes at the next beat of any worker.

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
