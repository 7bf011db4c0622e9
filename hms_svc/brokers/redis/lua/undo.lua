-- Restore some jobs of a batch to what they were before it, in the order of their ids.
--
-- args     batch, since (Unix ms): later acts can still be undone, after: the id after which to begin, limit, dry: to
--          change nothing
-- returns  for each job: its id, and "" if it was restored, otherwise why not; fewer if the records are large
-- Invariant: as in act.lua. A job has not changed since if state, position and fence are those after the act.
--            A batch that was processed is no longer the last one (its time is negative then); jobs that were not
--            restored stay in it.

local receipt = P .. 'reply:' .. NONCE
local before = redis.call('GET', receipt)
if before then return cjson.decode(before) end

local answers, batch, is_dry = {}, P .. 'undo:' .. args.batch, args.dry

local function why_not(id, job, state, position, fence, was)
  if not job then return GONE end
  if tonumber(state) == PROCESSING then return WAS_RUNNING end
  if job[STATE] ~= tonumber(state) or job[POSITION] ~= tonumber(position) or job[FENCE] ~= tonumber(fence) then
    return fill(MOVED_SINCE, { state = NAMES[job[STATE]] })
  end
  local holder = not TERMINAL[was[STATE]] and keeps_unique(was) and unique_holder(was[TYPE], was[UNIQUE], id)
  return holder and 'its unique key is held by job ' .. holder
end

local function restore(id, job, was, kept)
  local shown = job[STATE] == DISCARDED and was[STATE] or job[STATE]
  leave(id, job)
  if was[SUSPECT] >= LIMITED then was[SUSPECT] = was[SUSPECT] - LIMITED end
  if TERMINAL[was[STATE]] then
    free_unique(id, job)
  elseif keeps_unique(was) then
    hold_unique(id, was[TYPE], was[UNIQUE])
  end
  if job[STATE] == DISCARDED then count(job[TYPE], 'discarded', -1) end
  redis.call('SET', job_key(id), assemble(was, envelope_in(job), data_in(job), raw_in(job), outcome_in(was),
    history_in(job) .. step_of(shown, was[STATE], TRIGGER_UNDONE, 'undo')))
  enter(id, was)
  redis.call('ZREM', batch, kept)
end

local function undo(kept)
  local id, at, state, position, fence, former = string.match(kept, '^(%S+) (%S+) (%S+) (%S+) (%S+)\n(.*)$')
  if tonumber(at) <= args.since then return end
  local job, was = read(id), parse(former)
  local why = why_not(id, job, state, position, fence, was)
  if not why and not is_dry then restore(id, job, was, kept) end
  answers[#answers + 1] = id
  answers[#answers + 1] = why or ''
end

local behind, limit = args.after == '' and '-' or '(' .. args.after .. ' \255', args.limit
local found
repeat
  found = redis.call('ZRANGEBYLEX', batch, behind, '+', 'LIMIT', 0, limit - #answers / 2)
  for _, kept in ipairs(found) do
    undo(kept)
    behind = '(' .. kept
    if spent > MOST_BYTES then break end
  end
until not found[1] or #answers >= 2 * limit or spent > MOST_BYTES
finish()
local since = not is_dry and not found[1] and tonumber(redis.call('ZSCORE', P .. 'batches', args.batch) or nil)
if since and since > 0 then redis.call('ZADD', P .. 'batches', int(-since), args.batch) end
redis.call('SET', receipt, #answers > 0 and cjson.encode(answers) or '[]', 'EX', 120)
return answers
