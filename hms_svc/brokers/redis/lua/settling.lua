-- Inserted after acceptance.lua: how a job is settled of which more changes than its first fields.

-- The cancel request for a job that would be settled otherwise.
local function request_for(id, job, state, case)
  local fence, request = string.match(redis.call('HGET', P .. 'cancel-requests', id) or '', '^(%d+) (.*)$')
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

-- What an outcome that governance denies begins with.
local NO = '{"reason":"' .. REASON_GOVERNANCE .. '"'

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
