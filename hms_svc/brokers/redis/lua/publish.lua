-- Append events to the bus; an event whose id is there already is skipped.
--
-- ARGV     for each: id, time, type, subject, data
-- returns  nothing
-- Invariant: an id and its event are written together; ids are removed with their events.

local ids, latest = P .. 'bus:ids', P .. 'bus:latest'
local fresh = {}
for at = 4, #ARGV, 5 do
  if not redis.call('ZSCORE', ids, ARGV[at]) and not fresh[ARGV[at]] then
    fresh[ARGV[at]] = true
    fresh[#fresh + 1] = at
  end
end
if #fresh == 0 then return 0 end
local position = bus_position()
redis.call('INCRBY', P .. 'bus:position', #fresh)
for number, at in ipairs(fresh) do
  local id, time, type, subject, data = unpack(ARGV, at, at + 4)
  local place = int(position + number)
  redis.call('XADD', P .. 'bus', 'MAXLEN', '~', MOST_EVENTS, place .. '-0', 'a', time, 't', type, 'j', subject, 'e', id, 'd', data)
  redis.call('ZADD', ids, place, id)
  redis.call('HSET', latest, type, place)
end
return 0
