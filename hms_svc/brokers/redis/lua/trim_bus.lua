-- Remove the oldest events of the bus: beyond the number kept, then beyond the age.
--
-- ARGV     number kept, time (Unix ms) before which events are removed, limit, then to free memory: position and time
--          (Unix ms) before both of which events are removed too; 0 and 0 for none
-- returns  how many were removed
-- Invariant: the ids of events are removed with them.

local below, settled = tonumber(ARGV[7]), tonumber(ARGV[8])

local bus, most, before, limit = P .. 'bus', tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local size = redis.call('XLEN', bus)
local removed = math.max(0, math.min(size - most, limit))
if removed > 0 then redis.call('XTRIM', bus, 'MAXLEN', '=', int(size - removed)) end
local old = 0

local function is_old(entry)
  local at = tonumber(entry[2][2])
  return at < before or (at < settled and tonumber(string.match(entry[1], '^(%d+)')) < below)
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
