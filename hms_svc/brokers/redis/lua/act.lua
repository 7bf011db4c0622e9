-- Do one act of an operator to each job.
--
-- ARGV     act, who, note, batch, time until which a discard can be undone (Unix ms), then the ids
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
    job[EXPIRES], job[NOT_BEFORE] = '-', '-'
  end
  job[STATE] = '2'
  take_turn(job)
  write(id, job, not waited and '' or nil, step)
  enter(id, job)
  return ''
end

local function call_off(id, job, state, reason, event)
  local source = job[STATE]
  end_job(id, job, state, outcome_of(reason, by, note), step_of(source, state, 'operator', detail))
  announce(int(wall), event, id, job[FENCE], said(job[TYPE], reason, by, note))
  return ''
end

local acts = {}

function acts.retry(id, job)
  local state = job[STATE]
  if state == '1' or state == '5' then return to_queue(id, job, false) end
  if state == '6' then return 'is completed: there is nothing to retry' end
  if not TERMINAL[state] then return is(job) .. ': only ended or waiting jobs are retried' end
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
  job[UNDO_STATE], job[UNDO_POSITION] = state, job[POSITION]
  job[STATE], job[POSITION] = '10', int(wall)
  write(id, job, nil, step_of(state, state, 'operator', detail))
  enter(id, job)
  count(job[TYPE], 'discarded')
  redis.call('SADD', P .. 'batch:' .. batch, id)
  redis.call('PEXPIREAT', P .. 'batch:' .. batch, undo_until)
  redis.call('ZADD', P .. 'batches', int(wall), batch)
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

for at = 9, #ARGV do
  local id = ARGV[at]
  local job = read(id)
  answers[#answers + 1] = job and job[STATE] ~= '10' and acts[act](id, job) or 'is not known'
end
finish()
redis.call('SET', receipt, cjson.encode(answers), 'EX', 120)
return answers
