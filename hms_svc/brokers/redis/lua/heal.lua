-- Put records back into the indexes that their first lines name.
--
-- ARGV     ids
-- returns  how many were missing
-- Invariant: a record that is in its index is not touched; tallies follow in settle_tallies.

-- The end of a lease in the record is that of the claim; its worker may have renewed it since.
local function place_of(job)
  if job[STATE] ~= '4' then return job[POSITION] end
  local length = job[POSITION] - job[STARTED]
  return int(math.max(tonumber(job[POSITION]), lease + math.min(math.max(length, 1000), 3600000)))
end

local healed = 0
for at = 4, #ARGV do
  local id = ARGV[at]
  local job = { string.match(redis.call('GETRANGE', job_key(id), 0, 1023), PATTERN) }
  if job[TYPE] and NAMES[job[STATE]] then
    local key = index_of(job[STATE], job[TYPE], job[SUSPECT])
    redis.call('SADD', P .. 'types', job[TYPE])
    if not redis.call('ZSCORE', key, id) then
      redis.call('ZADD', key, score_of(job[STATE], place_of(job)), id)
      healed = healed + 1
    end
    if job[UNIQUE] ~= '-' and not TERMINAL[job[STATE]] and job[STATE] ~= '10' then
      redis.call('HSETNX', P .. 'unique:' .. job[TYPE], job[UNIQUE], id)
      redis.call('HSET', P .. 'queue:' .. job[TYPE], 'unique', '1')
    end
  end
end
return healed
