-- Show or renew a worker in the register, and forget those long unseen.
--
-- ARGV     worker, its registration (JSON), time for people, milliseconds unseen after which one is forgotten
-- returns  nothing of meaning
-- Invariant: a stale entry goes at the next beat of any worker.

local workers, info = P .. 'workers', P .. 'worker_info'
redis.call('ZADD', workers, int(lease), ARGV[4])
redis.call('HSET', info, ARGV[4], ARGV[6] .. ' ' .. ARGV[5])
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', workers, '-inf', int(lease - ARGV[7]))) do
  redis.call('ZREM', workers, worker)
  redis.call('HDEL', info, worker)
end
return 0
