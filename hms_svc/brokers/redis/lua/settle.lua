-- Settle claimed jobs.
--
-- args     kinds: for each kind of settlement: state, whether the attempt is not counted, whether that release is counted,
--          its mark, which is the same when it is repeated, events, counters;
--          jobs: for each: id, fence and time (as texts, which commands take faster), its kind (from 1), outcome, line of the history, data of the events, case id,
--          "" for none, "?" if unknown, milliseconds until a delayed one is due, failure group
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
  local key, record = index_of(kind[1], job[TYPE]), job[RECORD]
  push(come, key, time)
  push(come, key, id)
  local history = shortened(history_in(job))
  job[STATE], job[POSITION], job[SUSPECT], job[MARK], job[OUTCOME_SIZE] = kind[1], tonumber(time), 0, kind[4], #outcome
  redis.call('SET', job_key(id), struct.pack(SETTLED_FORMAT, unpack(job, 1, SETTLED_COUNT))
    .. string.sub(record, SETTLED_SIZE + 1, job[OUTCOME_AT] - 1) .. outcome .. history .. step)
end

local function count_ended()
  for type, of_type in pairs(ended) do
    for kind, number in pairs(of_type) do
      tally(type, PROCESSING, -number)
      tally(type, kind[1], number)
      for _, name in ipairs(kind[6]) do count(type, name, number) end
    end
  end
end

local function settle(id, job, done, kind)
  local _, fence, time, _, outcome, step, data, case, delay, cause = unpack(done)
  local state, back, counted, mark, names, sums = unpack(kind)
  leave(id, job)
  job[STATE], job[POSITION], job[MARK] = state, delay and wall + delay or tonumber(time), mark
  if case ~= '' and case ~= '?' then job[CASE] = case end
  if FAILED[state] and string.sub(outcome, 1, #NO) == NO then job[APPROVED] = DENIED end
  if back then job[ATTEMPT] = job[ATTEMPT] - 1 end
  if counted then job[GIVE_BACKS] = job[GIVE_BACKS] + 1 end
  if state == QUEUED then keep_turn(job) else job[SUSPECT] = 0 end
  if TERMINAL[state] then free_unique(id, job) end
  if cause then file_under(job, cause) end
  if state == RETRYING then note_failure(id, job, time) end
  write(id, job, outcome, step)
  enter(id, job)
  for _, name in ipairs(sums) do count(job[TYPE], name) end
end

local function is_plain(job, kind, case)
  return kind[1] == COMPLETED and case == '' and job[UNIQUE_SIZE] == 0 and not has_requests
end

for _, done in ipairs(args.jobs) do
  if spent > MOST_BYTES then break end
  place = place + 1
  local id, fence, kind, case = done[1], tonumber(done[2]), args.kinds[done[4]], done[8]
  local record = read_record(id)
  local job = record and parse_front(record, FRONT_FORMAT)
  if not job or job[FENCE] ~= fence or job[STATE] ~= PROCESSING then
    if not job or job[FENCE] ~= fence or job[MARK] ~= kind[4] then answers[#answers + 1] = { place, '' } end
  else
    local request = nil
    if is_plain(job, kind, case) then
      end_plainly(id, job, done[3], done[5], done[6], kind)
    else
      job = parse(record)
      request = request_for(id, job, kind[1], case)
      if not request then settle(id, job, done, kind) end
    end
    if request then
      answers[#answers + 1] = { place, request }
    else
      for _, name in ipairs(kind[5]) do announce(done[3], name, id, done[2], done[7]) end
      if has_requests then redis.call('HDEL', requests, id) end
    end
  end
end
count_ended()
finish()
return { place, answers }
