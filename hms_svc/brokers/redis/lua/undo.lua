-- Bring back what one discard took.
--
-- ARGV     batch, line for the trail after the time and the state
-- returns  for each job: its id, and "" where it came back, else why not
-- Invariant: as act.

local receipt = P .. 'reply:' .. NONCE
local before = redis.call('GET', receipt)
if before then return cjson.decode(before) end

local answers, batch = {}, P .. 'batch:' .. ARGV[4]

local function restore(id, job)
  local state = job[UNDO_STATE]
  local waits = not TERMINAL[state]
  local holder = waits and job[UNIQUE] ~= '-' and unique_holder(job[TYPE], job[UNIQUE], id)
  if holder then return 'its unique key is held by job ' .. holder end
  leave(id, job)
  if waits then hold_unique(id, job[TYPE], job[UNIQUE]) end
  job[STATE], job[POSITION], job[UNDO_STATE], job[UNDO_POSITION] = state, job[UNDO_POSITION], '0', '0'
  write(id, job, nil, step_of(state, state, 'operator', ARGV[5]))
  enter(id, job)
  count(job[TYPE], 'discarded', -1)
  redis.call('SREM', batch, id)
  return ''
end

local ids = redis.call('SMEMBERS', batch)
table.sort(ids)
for _, id in ipairs(ids) do
  local job = read(id)
  if job and job[STATE] == '10' then
    answers[#answers + 1] = id
    answers[#answers + 1] = restore(id, job)
  end
end
finish()
if redis.call('EXISTS', batch) == 0 then redis.call('ZREM', P .. 'batches', ARGV[4]) end
redis.call('SET', receipt, #answers > 0 and cjson.encode(answers) or '[]', 'EX', 120)
return answers
