-- Do one act of an operator to each job.
--
-- ARGV     act, who, note, batch, time until which it is kept for undo (Unix ms), then the ids
-- returns  for each id: "" where it was done, else why not
-- Invariant: each job changes in one step or not at all. Repeated with its nonce after a lost reply it gives
--            what it gave.

local receipt = P .. 'reply:' .. NONCE
local before = redis.call('GET', receipt)
if before then return cjson.decode(before) end

local act, by, note, batch, undo_until = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local answers = {}
local detail = (act == 'purge' and 'cancel' or act) .. ' by ' .. by .. (note ~= '' and ': ' .. note or '')

local function is(job)
  return 'is ' .. NAMES[job[STATE]]
end

local function to_queue(id, job, fresh)
  local holder = fresh and job[UNIQUE] ~= '-' and unique_holder(job[TYPE], job[UNIQUE], id)
  if holder then return 'cannot come back: its unique key is held by job ' .. holder end
  local step = step_of(job[STATE], '2', 'operator', detail)
  local waited = job[STATE] == '1' or job[STATE] == '5'
  leave(id, job)
  if fresh then
    hold_unique(id, job[TYPE], job[UNIQUE])
    job[ATTEMPT], job[GIVE_BACKS], job[CRASHES], job[SUSPECT] = '0', '0', '0', '0'
    job[EXPIRES], job[NOT_BEFORE], job[CAUSE] = '-', '-', '0'
  end
  job[STATE] = '2'
  take_turn(job)
  write(id, job, not waited and '' or nil, step)
  enter(id, job)
  return ''
end

local function call_off(id, job, state, reason, event)
  local source, cause = job[STATE], state == '7' and cause_of(state, job[TYPE], reason, by)
  end_job(id, job, state, outcome_of(reason, by, note), step_of(source, state, 'operator', detail), cause)
  announce(int(wall), event, id, job[FENCE], said(job[TYPE], reason, by, note))
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

function acts.cancel(id, job)
  if TERMINAL[job[STATE]] then return is(job) .. ' already' end
  if job[STATE] == '4' then
    redis.call('HSET', P .. 'wishes', id, job[FENCE] .. ' ' .. cjson.encode({ by, note }))
    call(job[WORKER], 'news')
    return ''
  end
  return call_off(id, job, '9', 'cancelled', 'job.cancelled')
end

-- As cancel, of what still waits: a job that was claimed meanwhile runs to its end.
function acts.purge(id, job)
  local state = job[STATE]
  if state ~= '1' and state ~= '2' and state ~= '5' then return is(job) end
  return call_off(id, job, '9', 'cancelled', 'job.cancelled')
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

function acts.approve(id, job)
  if job[STATE] ~= '3' then return is(job) .. ', not held' end
  return to_queue(id, job, false)
end

function acts.deny(id, job)
  if job[STATE] ~= '3' then return is(job) .. ', not held' end
  return call_off(id, job, '7', 'governance', 'job.rejected')
end

local undoable = batch ~= '' and act ~= 'approve'
local undo_key = P .. 'undo:' .. batch
local has_begun = undoable and redis.call('EXISTS', undo_key) == 1
local kept = {}

local function do_to(id)
  local job = read(id)
  if not job or job[STATE] == '10' then return 'is not known' end
  local outcome = outcome_in(job)
  local why = acts[act](id, job)
  if why == '' and undoable then
    kept[#kept + 1] = '0'
    kept[#kept + 1] = table.concat({ id, int(wall), job[STATE], job[POSITION], job[FENCE] }, ' ') .. '\n'
      .. string.sub(job.record, 1, job[BODY] - 1) .. outcome
    if has_begun then redis.call('ZREMRANGEBYLEX', undo_key, '[' .. id .. ' ', '[' .. id .. ' \255') end
  end
  return why
end

for at = 9, #ARGV do answers[#answers + 1] = do_to(ARGV[at]) end
finish()
if #kept > 0 then
  flush('ZADD', undo_key, kept)
  redis.call('PEXPIREAT', undo_key, undo_until)
  redis.call('ZADD', P .. 'batches', int(wall), batch)
end
redis.call('SET', receipt, cjson.encode(answers), 'EX', 120)
return answers
