-- Register a worker as waiting, unless there is work.
--
-- ARGV     worker, maximum milliseconds to wait, lane (0 normal, 1 suspects), then the types
-- returns  1 if there is work; otherwise 0, and the worker will be notified
-- Invariant: check and registration are one step, so that no job is missed in between.

local worker, until_ms, lane = ARGV[4], int(lease + ARGV[5]), ARGV[6]
for at = 7, #ARGV do
  if redis.call('ZCARD', index_of(QUEUED, ARGV[at], lane)) > 0
    and not redis.call('HGET', P .. 'queue:' .. ARGV[at], 'paused_by') then
    return 1
  end
end
local names = {}
for at = 7, #ARGV do
  names[#names + 1] = (lane == '1' and '!' or '') .. ARGV[at]
  redis.call('ZADD', P .. 'sleepers:' .. names[#names], until_ms, worker)
end
redis.call('SET', P .. 'lies:' .. worker, table.concat(names, ' '), 'PX', int(math.max(tonumber(ARGV[5]), 1) + 60000))
return 0
