-- What stands in every failure group.
--
-- ARGV     milliseconds of a slot of time, number of slots
-- returns  for each group: its id, number of jobs, time (Unix ms) of the first, id and record of the newest without
--          data, raw bytes and trail, then how many came in each slot up to the present one, oldest first
-- Invariant: reads only; work is bounded by the number of groups. A group's index is all that is kept of it.

local slot, slots = tonumber(ARGV[4]), tonumber(ARGV[5])
local first_slot = (math.floor(wall / slot) - slots + 1) * slot
local answers = {}

local function newest_of(key)
  for _, id in ipairs(redis.call('ZREVRANGE', key, 0, 9)) do
    local job = read(id)
    if job then return id, job end
  end
end

local function shown(job)
  local data = job[BODY] + job[ENVELOPE]
  local outcome = outcome_in(job)
  job[DATA], job[RAW] = '0', '0'
  return table.concat(job, ' ', 1, WORKER) .. '\n' .. string.sub(job.record, job[BODY], data - 1) .. outcome
end

for _, cause in ipairs(redis.call('SMEMBERS', P .. 'causes')) do
  local key = P .. 'cause:' .. cause
  local id, job = newest_of(key)
  if job then
    local is_recent = tonumber(job[POSITION]) >= first_slot
    local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
    local answer = { cause, redis.call('ZCARD', key), int(tonumber(first)), id, shown(job) }
    for number = 0, slots - 1 do
      local begins = first_slot + number * slot
      answer[#answer + 1] = is_recent and redis.call('ZCOUNT', key, int(begins), '(' .. int(begins + slot)) or 0
    end
    answers[#answers + 1] = answer
  end
end
return answers
