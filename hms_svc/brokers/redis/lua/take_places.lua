-- Let claimed jobs in by the limits with a key that their type declares, or queue them again.
--
-- args     claims: for each: id, fence, lease (ms), limits: for each: digest, number among the limits of its type, most,
--          window (ms, 0 for a limit of running jobs), text
-- returns  for each: 0 if it may run; otherwise it is queued as if it had not been claimed, or its token no longer owns
--          it: in how many milliseconds its limit is looked at again, if nothing lets it in before
-- Invariant: a job counts for all of its limits or for none. A repetition after a lost reply returns the same.

local function queue_behind(id, job, lease_ms, digest, number, text)
  limiter.take_back_start(job[TYPE], job[POSITION] - lease_ms)
  leave(id, job)
  job[STATE], job[ATTEMPT], job[CLAIMS] = QUEUED, job[ATTEMPT] - 1, job[CLAIMS] - 1
  job[SUSPECT] = job[SUSPECT] + LIMITED
  keep_turn(job)
  -- The fences of one claim are in the order of the queue, also for jobs that were accepted at the same time.
  local order = string.format('%016x', job[FENCE])
  redis.call('HSET', P .. 'places:' .. job[TYPE], id,
    table.concat({ limiter.waits .. digest, int(number), order, text }, ' '))
  redis.call('ZADD', P .. 'behind:' .. digest, int(job[POSITION]), order .. ' ' .. id)
  write(id, job)
  enter(id, job)
  count(job[TYPE], 'claimed', -1)
end

local function take(id, fence, lease_ms, limits)
  local job = read(id)
  if not job or job[FENCE] ~= fence or job[STATE] ~= PROCESSING then return LIMIT_CHECK_MS end
  local places, digests = P .. 'places:' .. job[TYPE], {}
  if redis.call('HEXISTS', places, id) == 1 then return 0 end
  for at, limit in ipairs(limits) do
    local digest, number, most, window, text = unpack(limit)
    local room, ahead = limiter.room(digest, most, window)
    if room <= 0 then
      queue_behind(id, job, lease_ms, digest, number, text)
      redis.call('ZADD', P .. 'limit-checks', 'LT', int(lease + ahead),
        limiter.check_of(job[TYPE], digest, int(number)))
      return int(ahead)
    end
    digests[at] = digest
  end
  for _, limit in ipairs(limits) do
    local digest, _, _, window = unpack(limit)
    if window > 0 then limiter.note_starts(digest, window, 1) else redis.call('SADD', P .. 'holders:' .. digest, id) end
  end
  redis.call('HSET', places, id, table.concat(digests, ' '))
  return 0
end

local answers = {}
for at, claim in ipairs(args.claims) do answers[at] = tonumber(take(unpack(claim))) end
finish()
return answers
