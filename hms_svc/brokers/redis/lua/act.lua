-- Do one act of an operator on each job.
--
-- ARGV     act, operator, note, batch, time until which it is kept for undo (Unix ms), then for each job: id, fence
--          that was seen ("" if none was), its case in the database ("" for none), hold that was seen ("" for none)
-- returns  for each id: "" if it was done, otherwise why not; fewer if the records are large
-- Invariant: each job changes in one step or not at all, and only if it is still as it was seen. A repetition with
--            the same nonce after a lost reply returns the same.

local receipt = P .. 'reply:' .. NONCE
local before = redis.call('GET', receipt)
if before then return cjson.decode(before) end

local act, by, note, batch, undo_until = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local answers = {}
local detail = act .. ' by ' .. by .. (note ~= '' and ': ' .. note or '')

local function is(job)
  return 'is ' .. NAMES[job[STATE]]
end

local function to_queue(id, job, fresh)
  local holder = fresh and job[UNIQUE] ~= '-' and unique_holder(job[TYPE], job[UNIQUE], id)
  if holder then return 'cannot be retried: its unique key is held by job ' .. holder end
  local step = step_of(job[STATE], '2', 'operator', detail)
  local waited = job[STATE] == '1' or job[STATE] == '5'
  leave(id, job)
  if fresh then
    hold_unique(id, job[TYPE], job[UNIQUE])
    job[ATTEMPT], job[GIVE_BACKS], job[CRASHES], job[SUSPECT] = '0', '0', '0', '0'
    job[EXPIRES], job[NOT_BEFORE] = '-', '-'
  end
  job[STATE], job[CAUSE] = '2', '0'
  take_turn(job)
  write(id, job, not waited and '' or nil, step)
  enter(id, job)
  return ''
end

local UNSEEN = 'was claimed before: its effects must be checked first'

-- A job that has a case becomes dead instead of cancelled or rejected.
local function end_waiting(id, job, seen, state, reason)
  local source, reported = job[STATE], note
  if job[CASE] == '-' and seen.case ~= '' then job[CASE] = seen.case end
  if job[CASE] ~= '-' then
    state, reported = '8', (note ~= '' and note .. '; ' or '') .. job[CASE] .. ' remains open'
  end
  local cause = FAILED[state] and cause_of(state, job[TYPE], reason, by)
  end_job(id, job, state, outcome_of(reason, by, reported), step_of(source, state, 'operator', detail), cause)
  announce(int(wall), 'job.' .. NAMES[state], id, job[FENCE], event_data(job[TYPE], reason, by, reported), job)
  return ''
end

local acts = {}

function acts.retry(id, job)
  local state = job[STATE]
  if state == '1' or state == '5' then return to_queue(id, job, false) end
  if state == '6' then return 'is completed: there is nothing to retry' end
  if not TERMINAL[state] then return is(job) .. ': only ended or waiting jobs are retried' end
  local data = job[BODY] + job[ENVELOPE]
  if string.sub(job.record, data, data + job[DATA] - 1) == '{"erased":true}' then
    return 'was erased: there is nothing to run'
  end
  if job[MARK] == 'raw' then return 'is not a job that can run: its bytes were refused; edit it instead' end
  return to_queue(id, job, true)
end

function acts.cancel(id, job, seen)
  if TERMINAL[job[STATE]] then return is(job) .. ' already' end
  if job[STATE] == '4' then
    redis.call('HSET', P .. 'wishes', id, job[FENCE] .. ' ' .. cjson.encode({ by, note }))
    notify(job[WORKER], 'news')
    return ''
  end
  if job[FENCE] ~= '0' and seen.fence == '' then return UNSEEN end
  return end_waiting(id, job, seen, '9', 'cancelled')
end

function acts.discard(id, job)
  if job[STATE] == '4' then return 'is processing: cancel it first' end
  local state = job[STATE]
  leave(id, job)
  free_unique(id, job)
  job[STATE], job[POSITION] = '10', int(wall)
  write(id, job, nil, step_of(state, state, 'operator', detail))
  enter(id, job)
  count(job[TYPE], 'discarded')
  return ''
end

function acts.approve(id, job, seen)
  if job[STATE] ~= '3' then return is(job) .. ', not held' end
  if seen.fence == '' or seen.hold == '' then return UNSEEN end
  job[APPROVED] = job[APPROVED] == '0' and seen.hold or job[APPROVED] .. ',' .. seen.hold
  return to_queue(id, job, false)
end

function acts.deny(id, job, seen)
  if job[STATE] ~= '3' then return is(job) .. ', not held' end
  if seen.fence == '' then return UNSEEN end
  job[APPROVED] = '!'
  return end_waiting(id, job, seen, '7', 'governance')
end

local undoable = batch ~= '' and act ~= 'approve'
local undo_key = P .. 'undo:' .. batch
local has_begun = undoable and redis.call('EXISTS', undo_key) == 1
local kept = {}

local function do_to(id, seen)
  local job = read(id)
  if not job or job[STATE] == '10' then return 'is not known' end
  if seen.fence ~= '' and job[FENCE] ~= seen.fence then return 'has moved on since it was read' end
  local outcome = outcome_in(job)
  local why = acts[act](id, job, seen)
  if why == '' and undoable then
    kept[#kept + 1] = '0'
    kept[#kept + 1] = table.concat({ id, int(wall), job[STATE], job[POSITION], job[FENCE] }, ' ') .. '\n'
      .. string.sub(job.record, 1, job[BODY] - 1) .. outcome
    if has_begun then redis.call('ZREMRANGEBYLEX', undo_key, '[' .. id .. ' ', '[' .. id .. ' \255') end
  end
  return why
end

for at = 9, #ARGV, 4 do
  if spent > SPENT_MOST then break end
  local id, fence, case, hold = unpack(ARGV, at, at + 3)
  answers[#answers + 1] = do_to(id, { fence = fence, case = case, hold = hold })
end
finish()
if #kept > 0 then
  flush('ZADD', undo_key, kept)
  redis.call('PEXPIREAT', undo_key, undo_until)
  redis.call('ZADD', P .. 'batches', int(wall), batch)
end
redis.call('SET', receipt, cjson.encode(answers), 'EX', 120)
return answers
