-- Append events to the bus; an event whose id is there already is skipped.
--
-- args     events: for each: id, time, type, subject, data
-- returns  nothing
-- Invariant: an id and its event are written together; ids are removed with their events.

local ids, latest = P .. 'bus:ids', P .. 'bus:latest'
local fresh = {}
for _, event in ipairs(args.events) do
  local id = event[1]
  if not redis.call('ZSCORE', ids, id) and not fresh[id] then
    fresh[id] = true
    fresh[#fresh + 1] = event
  end
end
if #fresh == 0 then return 0 end
local position = take_positions(#fresh)
for number, event in ipairs(fresh) do
  local id, time, type, subject, data = unpack(event)
  local place = int(position + number)
  redis.call('XADD', P .. 'bus', 'MAXLEN', '~', MOST_EVENTS, place .. '-0', 'a', time, 't', type, 'j', subject, 'e', id, 'd', data)
  redis.call('ZADD', ids, place, id)
  redis.call('HSET', latest, type, place)
end
return 0
