-- Make the jobs of a batch what they were before it.
--
-- ARGV     batch, time (Unix ms) since which it was done where it can still be undone
-- returns  for each job: its id, and "" where it came back, else why not
-- Invariant: as act. A job has not moved since where state, position and fence are those that the act left.

local receipt = P .. 'reply:' .. NONCE
local before = redis.call('GET', receipt)
if before then return cjson.decode(before) end

local answers, batch = {}, P .. 'undo:' .. ARGV[4]

local function why_not(id, job, state, position, fence, was)
  if not job then return 'is not known any more' end
  if state == '4' then return 'was running: its worker was asked to stop' end
  if job[STATE] ~= state or job[POSITION] ~= position or job[FENCE] ~= fence then
    return 'has moved on: it is ' .. NAMES[job[STATE]]
  end
  local holder = not TERMINAL[was[STATE]] and was[UNIQUE] ~= '-' and unique_holder(was[TYPE], was[UNIQUE], id)
  return holder and 'its unique key is held by job ' .. holder
end

local function restore(id, job, was)
  local shown = job[STATE] == '10' and was[STATE] or job[STATE]
  leave(id, job)
  if TERMINAL[was[STATE]] then free_unique(id, job) else hold_unique(id, was[TYPE], was[UNIQUE]) end
  if job[STATE] == '10' then count(job[TYPE], 'discarded', -1) end
  local outcome = string.sub(was.record, was[BODY])
  was.record, was[BODY], was[OUTCOME] = job.record, job[BODY], job[OUTCOME]
  write(id, was, outcome, step_of(shown, was[STATE], 'undone', 'undo'))
  enter(id, was)
  redis.call('HDEL', batch, id)
end

local function undo(id, kept)
  local state, position, fence, former = string.match(kept, '^(%S+) (%S+) (%S+)\n(.*)$')
  local job, was = read(id), parse(former)
  local why = why_not(id, job, state, position, fence, was)
  if not why then restore(id, job, was) end
  answers[#answers + 1] = id
  answers[#answers + 1] = why or ''
end

local done_at = tonumber(redis.call('ZSCORE', P .. 'batches', ARGV[4]) or '-1')
local kept = done_at > tonumber(ARGV[5]) and redis.call('HGETALL', batch) or {}
local of, ids = {}, {}
for at = 1, #kept, 2 do
  ids[#ids + 1], of[kept[at]] = kept[at], kept[at + 1]
end
table.sort(ids)
for _, id in ipairs(ids) do undo(id, of[id]) end
finish()
if redis.call('EXISTS', batch) == 0 then redis.call('ZREM', P .. 'batches', ARGV[4]) end
redis.call('SET', receipt, #answers > 0 and cjson.encode(answers) or '[]', 'EX', 120)
return answers
