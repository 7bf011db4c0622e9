-- Lie down until work comes, unless some is there already.
--
-- ARGV     worker, milliseconds to sleep at most, lane (0 normal, 1 suspects), then the types
-- returns  1 where there is work already; else 0, and the worker will be called
-- Invariant: looking and lying down are one step, so that no job slips through between.

local until_ms, lane = int(lease + ARGV[5]), ARGV[6]
for at = 7, #ARGV do
  if redis.call('ZCARD', index_of('2', ARGV[at], lane)) > 0
    and not redis.call('HGET', P .. 'queue:' .. ARGV[at], 'paused_by') then
    return 1
  end
end
for at = 7, #ARGV do
  redis.call('ZADD', P .. 'sleepers:' .. (lane == '1' and '!' or '') .. ARGV[at], until_ms, ARGV[4])
end
return 0
