-- Remove the oldest events of the bus: beyond the number kept, then beyond the age.
--
-- args     most: number kept, before (Unix ms): older events are removed, limit, then to free memory: below (position)
--          and settled (Unix ms): what is before both is removed too; 0 and 0 for none
-- returns  how many were removed
-- Invariant: the ids of events are removed with them.

local bus, limit = P .. 'bus', args.limit
local size = redis.call('XLEN', bus)
local removed = math.max(0, math.min(size - args.most, limit))
if removed > 0 then redis.call('XTRIM', bus, 'MAXLEN', '=', int(size - removed)) end
local old = 0

local function is_old(entry)
  local at = tonumber(entry[2][2])
  return at < args.before or (at < args.settled and tonumber(string.match(entry[1], '^(%d+)')) < args.below)
end

while removed + old < limit do
  local entries = redis.call('XRANGE', bus, '-', '+', 'COUNT', math.min(1000, limit - removed - old))
  local here = 0
  while entries[here + 1] and is_old(entries[here + 1]) do here = here + 1 end
  if here == 0 then break end
  redis.call('XTRIM', bus, 'MAXLEN', '=', int(redis.call('XLEN', bus) - here))
  old = old + here
end
local head = redis.call('XRANGE', bus, '-', '+', 'COUNT', 1)[1]
if head then
  redis.call('ZREMRANGEBYSCORE', P .. 'bus:ids', '-inf', '(' .. string.match(head[1], '^(%d+)'))
elseif size > 0 then
  redis.call('DEL', P .. 'bus:ids')
end
return removed + old
