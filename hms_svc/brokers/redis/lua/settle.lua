-- Settle claimed jobs.
--
-- args     kinds: for each kind of settlement: state, give_back (the attempt is not counted), counted (that give-back
--          is), its mark, which is the same when it is repeated, events, counters;
--          jobs: for each: id, fence and time (as texts, which commands take faster), its kind (from 1), outcome, line of
--          the history, data of the events, case id, "" for none, "?" if unknown; then, if it is delayed or fails:
--          milliseconds until it is due or false, failure group or false
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

-- What is the same for all jobs of a type and kind is done once, at the end.
local ended = {}

-- End a job of which only the first fields are known: nothing else of it changes.
local function end_plainly(id, job, time, outcome, step, kind)
  local of_type = ended[job[TYPE]]
  if not of_type then
    of_type = {}
    ended[job[TYPE]] = of_type
  end
  of_type[kind] = (of_type[kind] or 0) + 1
  push(gone, index_of(PROCESSING, job[TYPE]), id)
  if limiter.has_places(job[TYPE]) then limiter.leave(id, job[TYPE]) end
  local key, record = index_of(kind.state, job[TYPE]), job[RECORD]
  push(come, key, time)
  push(come, key, id)
  local history = shortened(history_in(job))
  job[STATE], job[POSITION], job[SUSPECT], job[MARK] = kind.state, tonumber(time), 0, kind.mark
  job[OUTCOME_SIZE] = #outcome
  redis.call('SET', job_key(id), struct.pack(SETTLED_FORMAT, unpack(job, 1, SETTLED_COUNT))
    .. string.sub(record, SETTLED_SIZE + 1, job[OUTCOME_AT] - 1) .. outcome .. history .. step)
end

local function count_ended()
  for type, of_type in pairs(ended) do
    for kind, number in pairs(of_type) do
      tally(type, PROCESSING, -number)
      freed[type] = (freed[type] or 0) + number
      tally(type, kind.state, number)
      for _, name in ipairs(kind.counters) do count(type, name, number) end
    end
  end
end

local function settle(id, job, time, outcome, step, kind, case, delay, cause)
  local state = kind.state
  leave(id, job)
  job[STATE], job[POSITION], job[MARK] = state, delay and wall + delay or tonumber(time), kind.mark
  if case ~= '' and case ~= '?' then job[CASE] = case end
  if FAILED[state] and string.sub(outcome, 1, #NO) == NO then job[APPROVED] = DENIED end
  if kind.give_back then job[ATTEMPT] = job[ATTEMPT] - 1 end
  if kind.counted then job[GIVE_BACKS] = job[GIVE_BACKS] + 1 end
  if state == QUEUED then keep_turn(job) else job[SUSPECT] = 0 end
  if TERMINAL[state] then free_unique(id, job) end
  if cause then file_under(job, cause) end
  if state == RETRYING then note_failure(id, job, time) end
  write(id, job, outcome, step)
  enter(id, job)
  for _, name in ipairs(kind.counters) do count(job[TYPE], name) end
end

local function is_plain(job, kind, case)
  return kind.state == COMPLETED and case == '' and job[UNIQUE_SIZE] == 0 and not has_requests
end

for _, done in ipairs(args.jobs) do
  if spent > MOST_BYTES then break end
  place = place + 1
  local id, fence, time, number, outcome, step, data, case, delay, cause = unpack(done)
  local kind, record, request = args.kinds[number], read_record(id), nil
  local job = record and parse_front(record, FRONT_FORMAT)
  if not job or job[FENCE] ~= tonumber(fence) or job[STATE] ~= PROCESSING then
    if not job or job[FENCE] ~= tonumber(fence) or job[MARK] ~= kind.mark then answers[#answers + 1] = { place, '' } end
  else
    if is_plain(job, kind, case) then
      end_plainly(id, job, time, outcome, step, kind)
    else
      job = parse(record)
      request = request_for(id, job, kind.state, case)
      if not request then settle(id, job, time, outcome, step, kind, case, delay, cause) end
    end
    if request then
      answers[#answers + 1] = { place, request }
    else
      for _, name in ipairs(kind.events) do announce(time, name, id, fence, data) end
      if has_requests then redis.call('HDEL', requests, id) end
    end
  end
end
count_ended()
finish()
return { place, answers }
