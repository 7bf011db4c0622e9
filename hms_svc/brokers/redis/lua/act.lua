-- Do one act of an operator on each job.
--
-- args     act, by (operator), note, batch, undo_until (Unix ms: until then it is kept for undo); jobs: for each id,
--          fence that was seen (false if none was), its case in the database ("" for none), hold that was seen ("" for none)
-- returns  for each id: "" if it was done, otherwise why not; fewer if the records are large
-- Invariant: each job changes in one step or not at all, and only if it is still as it was seen. A repetition with
--            the same nonce after a lost reply returns the same.

local receipt = P .. 'reply:' .. NONCE
local before = redis.call('GET', receipt)
if before then return cjson.decode(before) end

local act, by, note, batch = args.act, args.by, args.note, args.batch
local answers = {}
local detail = act .. ' by ' .. by .. (note ~= '' and ': ' .. note or '')

local function why(text, job)
  return fill(text, { state = NAMES[job[STATE]] })
end

local function to_queue(id, job, fresh)
  local holder = fresh and keeps_unique(job) and unique_holder(job[TYPE], job[UNIQUE], id)
  if holder then return 'cannot be retried: its unique key is held by job ' .. holder end
  local step = step_of(job[STATE], QUEUED, TRIGGER_OPERATOR, detail)
  local waited = job[STATE] == SCHEDULED or job[STATE] == RETRYING
  leave(id, job)
  if fresh then
    if keeps_unique(job) then hold_unique(id, job[TYPE], job[UNIQUE]) end
    job[ATTEMPT], job[GIVE_BACKS], job[CRASHES], job[SUSPECT] = 0, 0, 0, 0
    job[EXPIRES], job[NOT_BEFORE] = NO_TIME, NO_TIME
  end
  job[STATE], job[CAUSE] = QUEUED, NO_CAUSE
  take_turn(job)
  write(id, job, not waited and '' or nil, step)
  enter(id, job)
  return ''
end

-- A job that has a case becomes dead instead of cancelled or rejected.
local function end_waiting(id, job, seen, state, reason)
  local source, reported = job[STATE], note
  if job[CASE] == '' and seen.case ~= '' then job[CASE] = seen.case end
  if job[CASE] ~= '' then
    state, reported = DEAD, (note ~= '' and note .. '; ' or '') .. fill(BESIDE_CASE, { case = job[CASE] })
  end
  local cause = FAILED[state] and cause_of(state, job[TYPE], reason, by)
  end_job(id, job, state, outcome_of(reason, by, reported), step_of(source, state, TRIGGER_OPERATOR, detail), cause)
  announce(wall, 'job.' .. NAMES[state], id, job[FENCE], event_data(job[TYPE], reason, by, reported), job)
  return ''
end

local acts = {}

function acts.retry(id, job)
  local state = job[STATE]
  if state == SCHEDULED or state == RETRYING then return to_queue(id, job, false) end
  if state == COMPLETED then return NOTHING_TO_RETRY end
  if not TERMINAL[state] then return why(NOT_TO_RETRY, job) end
  if data_in(job) == ERASED then return NOTHING_TO_RUN end
  if job[MARK] == REFUSED_BYTES then return CANNOT_RUN end
  return to_queue(id, job, true)
end

function acts.cancel(id, job, seen)
  if TERMINAL[job[STATE]] then return why(ENDED_ALREADY, job) end
  if job[STATE] == PROCESSING then
    redis.call('HSET', P .. 'cancel-requests', id, int(job[FENCE]) .. ' ' .. cjson.encode({ by, note }))
    notify(job[WORKER], 'news')
    return ''
  end
  if job[FENCE] ~= 0 and not seen.fence then return NOT_SEEN end
  return end_waiting(id, job, seen, CANCELLED, REASON_CANCELLED)
end

function acts.discard(id, job)
  if job[STATE] == PROCESSING then return STILL_RUNNING end
  local state = job[STATE]
  leave(id, job)
  free_unique(id, job)
  job[STATE], job[POSITION] = DISCARDED, wall
  write(id, job, nil, step_of(state, state, TRIGGER_OPERATOR, detail))
  enter(id, job)
  count(job[TYPE], 'discarded')
  return ''
end

function acts.approve(id, job, seen)
  if job[STATE] ~= HELD then return why(NOT_HELD, job) end
  if not seen.fence or seen.hold == '' then return NOT_SEEN end
  job[APPROVED] = job[APPROVED] == '' and seen.hold or job[APPROVED] .. ',' .. seen.hold
  return to_queue(id, job, false)
end

function acts.deny(id, job, seen)
  if job[STATE] ~= HELD then return why(NOT_HELD, job) end
  if not seen.fence then return NOT_SEEN end
  job[APPROVED] = DENIED
  return end_waiting(id, job, seen, REJECTED, REASON_GOVERNANCE)
end

local undoable = batch ~= '' and act ~= 'approve'
local undo_key = P .. 'undo:' .. batch
local has_begun = undoable and redis.call('EXISTS', undo_key) == 1
local kept = {}

local function do_to(id, seen)
  local job = read(id)
  if not job or job[STATE] == DISCARDED then return NOT_KNOWN end
  if seen.fence and job[FENCE] ~= seen.fence then return MOVED_ON end
  local was = undoable and parse(job[RECORD])
  local refusal = acts[act](id, job, seen)
  if refusal == '' and was then
    kept[#kept + 1] = 0
    kept[#kept + 1] = table.concat({ id, int(wall), job[STATE], int(job[POSITION]), int(job[FENCE]) }, ' ') .. '\n'
      .. assemble(was, '', '', '', outcome_in(was), '')
    if has_begun then redis.call('ZREMRANGEBYLEX', undo_key, '[' .. id .. ' ', '[' .. id .. ' \255') end
  end
  return refusal
end

for _, wanted in ipairs(args.jobs) do
  if spent > MOST_BYTES then break end
  local id, fence, case, hold = unpack(wanted)
  answers[#answers + 1] = do_to(id, { fence = fence, case = case, hold = hold })
end
finish()
if #kept > 0 then
  flush('ZADD', undo_key, kept)
  redis.call('PEXPIREAT', undo_key, args.undo_until)
  redis.call('ZADD', P .. 'batches', int(wall), batch)
end
redis.call('SET', receipt, cjson.encode(answers), 'EX', 120)
return answers
