-- Remove from a stretch of the bus what it says of some jobs: an entry of a stream cannot be changed.
--
-- ARGV     where the stretch begins, how many entries it has at most, what stands for erased data, then the jobs
-- returns  where the next stretch begins, "" at the end
-- Invariant: life-cycle events without words stay. Ids stay known, so that the relay does not bring an event back.

local bus, most, erased = P .. 'bus', tonumber(ARGV[5]), ARGV[6]
local wanted, told = {}, {}
for at = 7, #ARGV do wanted[ARGV[at]] = true end

local function tells(fields)
  if fields.e then return fields.d ~= erased end
  local said = cjson.decode(fields.d)
  return said.detail or said.error
end

local function named(list)
  local fields = {}
  for at = 1, #list, 2 do fields[list[at]] = list[at + 1] end
  return fields
end

local entries = redis.call('XRANGE', bus, ARGV[4], '+', 'COUNT', most)
for _, entry in ipairs(entries) do
  local fields = named(entry[2])
  -- The subject of audit.sealed is no job, whatever a job is called.
  if wanted[fields.j] and fields.t ~= 'audit.sealed' and tells(fields) then told[#told + 1] = entry[1] end
end
flush('XDEL', bus, told)
return #entries == most and '(' .. entries[most][1] or ''
