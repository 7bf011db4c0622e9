-- Put records back into the indexes and groups that their first lines name.
--
-- ARGV     ids
-- returns  how many were missing
-- Invariant: a record that is in its index is not touched; tallies follow in settle_tallies.

local type_of = type

-- The end of a lease in the record is that of the claim; its worker may have renewed it since.
local function place_of(job)
  if job[STATE] ~= '4' then return job[POSITION] end
  local length = job[POSITION] - job[STARTED]
  return int(math.max(tonumber(job[POSITION]), lease + math.min(math.max(length, 1000), 3600000)))
end

-- A record that an older program wrote has no group yet: it gets one without a pattern.
local function file_again(id, job)
  if job[CAUSE] == '0' then
    job = read(id)
    local readable, outcome = pcall(cjson.decode, outcome_in(job))
    local said = readable and type_of(outcome) == 'table' and outcome or {}
    local error = string.match(said.failure or '', '^([^:]+)')
    file_under(job, cause_of(job[STATE], job[TYPE], said.reason or '', error or said.by or ''))
    write(id, job)
  else
    file_under(job, job[CAUSE])
  end
  redis.call('ZADD', P .. 'cause:' .. job[CAUSE], job[POSITION], id)
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
    if FAILED[job[STATE]] then file_again(id, job) end
    if job[UNIQUE] ~= '-' and not TERMINAL[job[STATE]] and job[STATE] ~= '10' then
      redis.call('HSETNX', P .. 'unique:' .. job[TYPE], job[UNIQUE], id)
      redis.call('HSET', P .. 'queue:' .. job[TYPE], 'unique', '1')
    end
  end
end
return healed
