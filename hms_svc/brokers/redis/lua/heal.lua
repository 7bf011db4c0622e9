-- Put records back into the indexes and groups that their first lines name.
--
-- args     seconds that the next step may take, ids
-- returns  how many were missing
-- Invariant: a record that is in its index is not changed; recount.lua corrects the counts.

-- The record has the end of the lease at the claim; its worker may have renewed it since.
local function place_of(job)
  if job[STATE] ~= PROCESSING then return job[POSITION] end
  local length = job[POSITION] - job[STARTED]
  return math.max(job[POSITION], lease + math.min(math.max(length, 1000), 3600000))
end

local function file_again(id, job)
  local before = job[CAUSE]
  file_under(job, before)
  if job[CAUSE] ~= before then
    local whole = read(id)
    whole[CAUSE] = job[CAUSE]
    write(id, whole)
  end
  redis.call('ZADD', P .. 'cause:' .. job[CAUSE], job[POSITION], id)
end

-- A job cannot wait for a limit any more, because keys are missing: it is ready, and judged again when it is claimed.
local function no_longer_limited(id)
  local whole = read(id)
  redis.call('ZREM', index_of(QUEUED, whole[TYPE], LIMITED), id)
  limiter.leave(id, whole[TYPE])
  whole[SUSPECT] = whole[SUSPECT] - LIMITED
  write(id, whole)
  return read_head(id)
end

redis.call('SET', P .. 'healing', '1', 'EX', args.seconds)
local healed = 0
for _, id in ipairs(args.ids) do
  local job = read_head(id)
  if job[TYPE] and NAMES[job[STATE]] then
    if job[SUSPECT] >= LIMITED and not limiter.is_waiting(job[TYPE], id) then
      job = no_longer_limited(id)
    end
    local key = index_of(job[STATE], job[TYPE], job[SUSPECT])
    redis.call('SADD', P .. 'job-types', job[TYPE])
    note_batch(id, job[BATCH], job[STATE])
    if not redis.call('ZSCORE', key, id) then
      redis.call('ZADD', key, place_of(job), id)
      note_due(job[STATE], job[TYPE], place_of(job))
      healed = healed + 1
    end
    if GROUPED[job[STATE]] then file_again(id, job) end
    if keeps_unique(job) and not TERMINAL[job[STATE]] and job[STATE] ~= DISCARDED then
      redis.call('HSETNX', P .. 'unique:' .. job[TYPE], digest_in(job[UNIQUE]), id)
      redis.call('HSET', P .. 'queue:' .. job[TYPE], 'unique', '1')
    end
  end
end
finish()
return healed
