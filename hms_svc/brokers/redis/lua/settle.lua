-- Settle claimed jobs.
--
-- args     kinds: lists of events and counters; jobs: for each: id, fence, state, position (of a delayed one: milliseconds
--          until it is due), whether the attempt is not counted, whether that release is counted, case id, "" for
--          none, "?" if unknown, outcome, line of the history, its kind (from 1), data of the events, time, mark of this
--          settlement, which is the same when it is repeated, failure group
-- returns  how many were processed, fewer if the records are large; then for each that was not written: its index
--          (from 1), and "" if the token no longer owns its job, otherwise the cancel request (JSON): the caller then
--          settles it as cancelled
-- Invariant: only the owner's fence writes; record, index, counters and events are one step. A denial by governance
--            clears the approvals. A repetition with the same mark after a lost reply writes nothing again, and
--            returns the same.

local answers, place = {}, 0
local NO = '{"reason":"' .. REASON_GOVERNANCE .. '"'
local requests = P .. 'cancel-requests'
local has_requests = redis.call('EXISTS', requests) == 1

local function request_for(id, job, state, case)
  if not has_requests then return nil end
  local fence, request = string.match(redis.call('HGET', requests, id) or '', '^(%d+) (.*)$')
  if tonumber(fence) ~= job[FENCE] or TERMINAL[state] or case ~= '' or job[CASE] ~= '' then return nil end
  return request
end

-- Beyond a number of groups, the history of the one that failed longest ago is removed.
local function limit_histories(cause)
  redis.call('ZADD', P .. 'histories', int(wall), cause)
  if redis.call('ZCARD', P .. 'histories') > MOST_HISTORIES then
    redis.call('DEL', P .. 'failing:' .. redis.call('ZPOPMIN', P .. 'histories')[1])
  end
end

-- Record the failures of a group of retrying jobs: first and last time, the last job, and the number in each slot.
local function note_failure(id, job, time)
  local key, slot = P .. 'failing:' .. job[CAUSE], math.floor(time / SLOT_MS)
  limit_histories(job[CAUSE])
  redis.call('HSETNX', key, 'first', time)
  redis.call('HSET', key, 'last', time, 'newest', id)
  if redis.call('HINCRBY', key, int(slot), 1) > 1 then return end
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if (tonumber(field) or slot) <= slot - SLOTS then redis.call('HDEL', key, field) end
  end
end

for _, done in ipairs(args.jobs) do
  if spent > MOST_BYTES then break end
  place = place + 1
  local id, fence, state, position, back, counted, case, outcome, step, kind, data, time, mark, cause = unpack(done)
  local job = read(id)
  if not job or job[FENCE] ~= fence or job[STATE] ~= PROCESSING then
    if not job or job[FENCE] ~= fence or job[MARK] ~= mark then answers[#answers + 1] = { place, '' } end
  else
    local request = request_for(id, job, state, case)
    if request then
      answers[#answers + 1] = { place, request }
    else
      leave(id, job)
      if state == SCHEDULED or state == RETRYING then position = wall + position end
      job[STATE], job[POSITION], job[MARK] = state, position, mark
      if case ~= '' and case ~= '?' then job[CASE] = case end
      if FAILED[state] and string.sub(outcome, 1, #NO) == NO then job[APPROVED] = DENIED end
      if back then job[ATTEMPT] = job[ATTEMPT] - 1 end
      if counted then job[GIVE_BACKS] = job[GIVE_BACKS] + 1 end
      if state == QUEUED then keep_turn(job) else job[SUSPECT] = 0 end
      if TERMINAL[state] then free_unique(id, job) end
      if GROUPED[state] then file_under(job, cause) end
      if state == RETRYING then note_failure(id, job, time) end
      write(id, job, outcome, step)
      enter(id, job)
      for _, name in ipairs(args.kinds[kind][1]) do announce(time, name, id, fence, data) end
      for _, name in ipairs(args.kinds[kind][2]) do count(job[TYPE], name) end
      if has_requests then redis.call('HDEL', requests, id) end
    end
  end
end
finish()
return { place, answers }
