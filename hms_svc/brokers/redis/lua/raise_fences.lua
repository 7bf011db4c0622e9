-- Raise the counter of fences; never lower it.
--
-- ARGV     the fence above which all new ones must be
-- returns  nothing
-- Invariant: no fence is issued twice.

local last = tonumber(redis.call('GET', P .. 'fence') or '0')
if tonumber(ARGV[4]) > last then redis.call('SET', P .. 'fence', ARGV[4]) end
return 0
