-- Move pushed items from the right end of a list into records.
--
-- args     list, type; items: for each, rightmost first: SHA-1 of the item, or of a very large one its length
--          and the SHA-1 of its first 64 KiB, and one of
--            "accept", id, state, record without its position, position, unique key or false,
--              whether the job has a priority, and the rule for its key if it is not the usual one
--            "refuse", id, state, record, whether the job has a priority, time, data of its event
--            "known", id
-- returns  how many were taken, and why no more: "", "moved" (the item is another one), "known", or "unique" and
--          the id that holds its key
-- rarely   uniqueness, unique_holder, hold_unique, parse, assemble, envelope_in, data_in, refuse, enter, batches,
--          write_causes, write_events, write_mirrors, wake_limited
-- Invariant: an item leaves the list in the step that writes its record. A repetition with the same nonce after a
--            lost reply takes nothing again: two equal items without an id are two jobs.

note_if_empty()
local receipt = P .. 'reply:' .. NONCE
local before = redis.call('GET', receipt)
if before then return { tonumber(before), 'moved', '' } end

local function matches_mark(item, mark)
  local length, head = string.match(mark, '^(%d+) (%x+)$')
  if not length then return redis.sha1hex(item) == mark end
  return #item == tonumber(length) and redis.sha1hex(string.sub(item, 1, 65536)) == head
end

local list, type, taken, why, holder = args.list, args.type, 0, '', ''
local places_of = {}
intakes[type] = true
for _, found in ipairs(args.items) do
  local sha, act, id, state, one, two, three, four, five = unpack(found)
  local item = foreign('LINDEX', list, -1)
  if not item or not matches_mark(item, sha) then
    why = 'moved'
    break
  end
  if act == 'accept' then
    local turn = state == QUEUED and turns(type, 1) or 0
    local places = places_of[state] or {}
    places_of[state] = places
    why, holder = accept(places, id, type, state, one, two, three, four, turn, five)
    if why == 'replaced' then why = nil end
    if why then break end
  elseif act == 'refuse' then
    if refuse(type, state, id, one, two, three, four) then
      why = 'moved'
      break
    end
  elseif redis.call('EXISTS', job_key(id)) == 0 then
    why = 'moved'
    break
  end
  -- Unlike RPOP, it does not copy the item into the script, which for a very large one takes as long as reading it.
  redis.call('LTRIM', list, 0, -2)
  taken = taken + 1
end
redis.call('SADD', P .. 'job-types', type)
for state, places in pairs(places_of) do accepted(type, state, places) end
finish()
redis.call('SET', receipt, taken, 'EX', 120)
return { taken, why or '', why == 'unique' and holder or '' }
