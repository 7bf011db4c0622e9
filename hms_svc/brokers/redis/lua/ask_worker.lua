-- Record what an operator wants of a worker, and call it.
--
-- ARGV     worker, the wish (JSON)
-- returns  1, or 0 where the worker is not in the register
-- Invariant: repeating it changes nothing; no wish outlives its worker by more than the next one.

local workers, wishes = P .. 'workers', P .. 'worker_wishes'
for _, worker in ipairs(redis.call('HKEYS', wishes)) do
  if not redis.call('ZSCORE', workers, worker) then redis.call('HDEL', wishes, worker) end
end
if not redis.call('ZSCORE', workers, ARGV[4]) then return 0 end
redis.call('HSET', wishes, ARGV[4], ARGV[5])
call(ARGV[4], 'news')
return 1
