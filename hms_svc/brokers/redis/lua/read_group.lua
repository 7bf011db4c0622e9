-- Deliver events to one consumer of a group: overdue ones first, then new ones.
--
-- args     group, limit, from_start: whether to begin at the oldest event, again_after_ms: when an event is delivered
--          again
-- returns  the gap before the entries ({} or {first lost, last lost}), then the entries; an event is lost if it was
--          trimmed before it was delivered or acknowledged; between the two ends there may be events that are not lost
-- Invariant: what was delivered and not acknowledged is delivered again.

local group, limit = args.group, args.limit
local again_at = int(lease + args.again_after_ms)
local bus, cursor, pending = P .. 'bus', P .. 'bus:group:' .. group, P .. 'bus:pending:' .. group
local known = tonumber(redis.call('GET', cursor) or nil)
local head = redis.call('XRANGE', bus, '-', '+', 'COUNT', 1)[1]
local newest = bus_position()
local oldest = head and tonumber(string.match(head[1], '^(%d+)')) or newest + 1
local delivered = known or (args.from_start and oldest - 1 or newest)
local lost_from, lost_to, entries = nil, nil, {}

local function lose_events(from, to)
  lost_from, lost_to = math.min(lost_from or from, from), math.max(lost_to or to, to)
end

if known and oldest > delivered + 1 then
  lose_events(delivered + 1, oldest - 1)
  delivered = oldest - 1
end
for _, place in ipairs(redis.call('ZRANGEBYSCORE', pending, '-inf', int(lease), 'LIMIT', 0, limit)) do
  local entry = redis.call('XRANGE', bus, place .. '-0', place .. '-0')[1]
  if entry then
    entries[#entries + 1] = entry
    redis.call('ZADD', pending, again_at, place)
  else
    if tonumber(place) < oldest then lose_events(tonumber(place), tonumber(place)) end
    redis.call('ZREM', pending, place)
  end
end
if #entries < limit then
  for _, entry in ipairs(redis.call('XRANGE', bus, int(delivered + 1) .. '-0', '+', 'COUNT', limit - #entries)) do
    local place = string.match(entry[1], '^(%d+)')
    entries[#entries + 1] = entry
    redis.call('ZADD', pending, again_at, place)
    delivered = tonumber(place)
  end
end
redis.call('SET', cursor, int(delivered), 'EX', 7776000)
redis.call('EXPIRE', pending, 7776000)
return { lost_from and { int(lost_from), int(lost_to) } or {}, entries }
