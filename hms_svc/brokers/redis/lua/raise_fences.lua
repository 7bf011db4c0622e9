-- Raise the counter of fences; never lower it.
--
-- args     above: the fence above which all new ones must be
-- returns  nothing
-- Invariant: no fence is issued twice.

local last = tonumber(redis.call('GET', P .. 'fence') or '0')
if args.above > last then redis.call('SET', P .. 'fence', args.above) end
return 0
