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
-- rarely   settle, request_for, limiter.leave, finish
-- Invariant: only the owner's fence writes; record, index, counters and events are one step. A denial by governance
--            clears the approvals. A repetition with the same mark after a lost reply writes nothing again, and
--            returns the same.

local jobs, kinds = args.jobs, args.kinds
local answers, place, are_plain = {}, 0, true
local requests = P .. 'cancel-requests'
local has_requests = redis.call('EXISTS', requests) == 1
-- Of jobs that end plainly, by type: ids, what enters the index, and the number of each kind.
local ended, written = {}, {}

-- The number in a text, which is often that of the job before.
local last_time, last_ms
local function ms_of(time)
  if time ~= last_time then last_time, last_ms = time, tonumber(time) end
  return last_ms
end

-- End a job of which only the first fields and the texts at its end change.
local function end_plainly(done, kind, key, type, record, outcome_at, outcome_size)
  local id, time = done[1], done[3]
  local of_type = ended[type]
  if not of_type then
    of_type = { ids = {}, places = {}, kinds = {}, has_places = limiter.has_places(type) }
    ended[type] = of_type
  end
  if of_type.has_places then
    are_plain = false
    limiter.leave(id, type)
  end
  local ids, places, history = of_type.ids, of_type.places, string.sub(record, outcome_at + outcome_size)
  ids[#ids + 1] = id
  places[#places + 1] = time
  places[#places + 1] = id
  of_type.kinds[kind] = (of_type.kinds[kind] or 0) + 1
  if #history > HISTORY_MOST then history = shortened(history) end
  written[#written + 1] = key
  -- In the order of `record.SETTLED`.
  written[#written + 1] = struct.pack(SETTLED_FORMAT, ms_of(time), COMPLETED, 0, kind.mark, #done[5])
    .. string.sub(record, SETTLED_SIZE + 1, outcome_at - 1) .. done[5] .. history .. done[6]
end

-- What is the same for all jobs of a type is done once.
local function write_ended(type, of_type)
  local number = #of_type.ids
  flush('ZREM', index_of(PROCESSING, type), of_type.ids)
  flush('ZADD', index_of(COMPLETED, type), of_type.places)
  wake_limited(type, number)
  write_size(type, PROCESSING, -number)
  write_size(type, COMPLETED, number)
  for kind, counted in pairs(of_type.kinds) do
    for _, name in ipairs(kind.counters) do write_count(type, name, counted) end
  end
end

-- Settle one job, which is that of the record.
local function settle_one(done, key, record)
  local id, fence, kind, case = done[1], tonumber(done[2]), kinds[done[4]], done[8]
  local owner, state, mark, outcome_size, outcome_at, worker_size, cause_size, type_size, unique_size, _
  if is_record(record) then
    -- In the order of `record.FRONT`.
    _, state, _, mark, outcome_size, owner, outcome_at, worker_size, cause_size, type_size, unique_size =
      struct.unpack(FRONT_FORMAT, record)
  end
  if owner ~= fence or state ~= PROCESSING then
    if owner ~= fence or mark ~= kind.mark then answers[#answers + 1] = { place, '' } end
    return
  end
  if kind.state == COMPLETED and case == '' and unique_size == 0 and not has_requests then
    local type_at = HEAD_SIZE + 1 + worker_size + cause_size
    end_plainly(done, kind, key, string.sub(record, type_at, type_at + type_size - 1), record, outcome_at, outcome_size)
  else
    are_plain = false
    local job = parse(record)
    local request = has_requests and request_for(id, job, kind.state, case)
    if request then
      answers[#answers + 1] = { place, request }
      return
    end
    settle(id, job, done[3], done[5], done[6], kind, case, done[9], done[10])
    if has_requests then redis.call('HDEL', requests, id) end
  end
  for _, name in ipairs(kind.events) do events[#events + 1] = { done[3], name, id, done[2], done[7] } end
end

-- The keys of the next jobs to read; one that is named twice is read again when it is written.
local function next_keys()
  local keys, named = {}, {}
  for at = place + 1, place + portion_of(math.min(#jobs - place, 1000)) do
    local key = job_key(jobs[at][1])
    if named[key] then break end
    named[key] = true
    keys[#keys + 1] = key
  end
  return keys
end

while place < #jobs and spent <= MOST_BYTES do
  local keys = next_keys()
  for number, record in ipairs(redis.call('MGET', unpack(keys))) do
    place = place + 1
    settle_one(jobs[place], keys[number], record)
  end
  if #written > 0 then redis.call('MSET', unpack(written)) end
  written = {}
end
for type, of_type in pairs(ended) do write_ended(type, of_type) end
if are_plain then write_events() else finish() end
return { place, answers }
