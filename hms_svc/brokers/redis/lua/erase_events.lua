-- Remove the events about some jobs from a range of the bus: an entry of a stream cannot be changed.
--
-- args     start of the range, most: its maximum number of entries, jobs
-- returns  start of the next range, "" at the end
-- Invariant: life-cycle events without texts stay. Ids stay known, so that the relay does not publish an event again.

local bus, most = P .. 'bus', args.most
local wanted, matches = {}, {}
for _, id in ipairs(args.jobs) do wanted[id] = true end

local function has_data(fields)
  if fields.e then return fields.d ~= ERASED end
  local event_data = cjson.decode(fields.d)
  return event_data.detail or event_data.error
end

local function named(list)
  local fields = {}
  for at = 1, #list, 2 do fields[list[at]] = list[at + 1] end
  return fields
end

local entries = redis.call('XRANGE', bus, args.start, '+', 'COUNT', most)
for _, entry in ipairs(entries) do
  local fields = named(entry[2])
  -- The subject of audit.sealed is not a job, even if a job has the same id.
  if wanted[fields.j] and fields.t ~= AUDIT_SEALED and has_data(fields) then matches[#matches + 1] = entry[1] end
end
flush('XDEL', bus, matches)
return #entries == most and '(' .. entries[most][1] or ''
