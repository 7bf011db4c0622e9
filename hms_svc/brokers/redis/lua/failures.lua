-- Return the content of some failure groups.
--
-- args     causes: the groups
-- returns  for each group: its id, number of jobs, times (Unix ms) of the first, of the newest and of the next
--          attempt ("" for none), id and record of the newest without data, raw bytes and history, then how many
--          jobs failed in each slot up to the current one, oldest first
-- Invariant: reads only; work is bounded by the number of groups. A group is stored only as its index, except for the
--            history of groups of retrying jobs, which leave the index at each attempt.

local present = math.floor(wall / SLOT_MS)
local first_slot = (present - SLOTS + 1) * SLOT_MS
local answers = {}

-- Usually the first id is enough; the next ones are read only if its record is missing.
local function newest_of(cause, key, failed)
  local job = failed and read(failed)
  if job and job[STATE] == RETRYING and job[CAUSE] == cause then return failed, job end
  for last = 0, 9, 9 do
    for _, id in ipairs(redis.call('ZREVRANGE', key, 0, last)) do
      job = read(id)
      if job and GROUPED[job[STATE]] then return id, job end
    end
  end
end

local function shown(job)
  return assemble(job, envelope_in(job), '', '', outcome_in(job), '')
end

local function begin_of(number)
  return int(first_slot + number * SLOT_MS)
end

-- Count the jobs in the SLOTS from `low` to `high`, whose sum is known, by bisection.
local function count_SLOTS(key, low, high, sum, counts)
  if sum == 0 or low == high then
    counts[low] = counts[low] + sum
    return
  end
  local middle = math.floor((low + high) / 2)
  local lower = redis.call('ZCOUNT', key, begin_of(low), '(' .. begin_of(middle + 1))
  count_SLOTS(key, low, middle, lower, counts)
  count_SLOTS(key, middle + 1, high, sum - lower, counts)
end

local function count_each(key, counts)
  local found = redis.call('ZRANGEBYSCORE', key, begin_of(0), '(' .. begin_of(SLOTS), 'WITHSCORES')
  for at = 2, #found, 2 do
    local number = math.floor((tonumber(found[at]) - first_slot) / SLOT_MS)
    counts[number] = counts[number] + 1
  end
end

local function recent_of(key, is_recent)
  local counts = {}
  for number = 0, SLOTS - 1 do counts[number] = 0 end
  if is_recent then
    local sum = redis.call('ZCOUNT', key, begin_of(0), '(' .. begin_of(SLOTS))
    if sum <= 50 then count_each(key, counts) else count_SLOTS(key, 0, SLOTS - 1, sum, counts) end
  end
  return counts
end

local function add_counts(answer, counts)
  for number = 0, SLOTS - 1 do answer[#answer + 1] = counts[number] end
  answers[#answers + 1] = answer
end

local function add_failing(cause, key, id, job, past)
  local first = past.first or (job[STARTED] ~= 0 and job[STARTED] or job[ENQUEUED])
  local due = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  local counts = {}
  for number = 0, SLOTS - 1 do counts[number] = tonumber(past[int(present - SLOTS + 1 + number)] or '0') end
  add_counts({ cause, redis.call('ZCARD', key), first, past.last or first, int(tonumber(due)), id, shown(job) }, counts)
end

local function add_ended(cause, key, id, job)
  local newest = job[POSITION]
  local counts = recent_of(key, newest >= first_slot)
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  add_counts({ cause, redis.call('ZCARD', key), int(tonumber(first)), newest, '', id, shown(job) }, counts)
end

for _, cause in ipairs(args.causes) do
  local key, past = P .. 'cause:' .. cause, {}
  local stored = redis.call('HGETALL', P .. 'failing:' .. cause)
  for field = 1, #stored, 2 do past[stored[field]] = stored[field + 1] end
  local id, job = newest_of(cause, key, past.newest)
  if job and job[STATE] == RETRYING then
    add_failing(cause, key, id, job, past)
  elseif job then
    add_ended(cause, key, id, job)
  end
end
return answers
