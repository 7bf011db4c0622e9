-- Inserted after limits.lua: batches, and what follows them.
--
-- members:{batch} is a sorted set of the jobs of a batch; a score is the rank of the state, then the time (ms) since
-- which the job is in it. batch:{batch} is a hash: digest (of what was submitted), condition, total, open ("1" until all
-- members are accepted, or an operator closes it), accepted (how many are), at, by, follow_ups (their number), following
-- (their ids and types as JSON), made (how many of them), ended (ms, 0 before), removed and removed:{state} (jobs that
-- were removed, in all and in it), closed_by (that operator) and left_out (members that were not accepted then).
-- follow-ups:{batch} is a hash: of each follow-up that was not made, by its number, what is needed to make it, see
-- batches.make. The functions are made when the first of them is called: a script that moves no job of a batch needs
-- none.

local made
function batches()
  if made then return made end
  local batches = {}
  made = batches

  function batches.rank_of(state)
    return LAST_STATE - state
  end

  -- The batch of a job whose record is missing, among those that have not ended; "" if there is none.
  function batches.of_lost(id)
    for _, batch in ipairs(redis.call('SMEMBERS', P .. 'unended-batches')) do
      if redis.call('ZSCORE', P .. 'members:' .. batch, id) then return batch end
    end
    return ''
  end

  -- Write a job of a batch that is submitted now. `rest` is its record without its position; `unique` the digest of
  -- its unique key, "" for none; `named` 1 if it has a priority; `held` what to say, before an id, if its key is held.
  -- `at` (ms) is when it was submitted if its record has another time. A known id is not changed.
  -- Digest to `most` are the rule for the key, if it is not the usual one: see uniqueness.lua. Return whether it is new.
  function batches.make(at, id, rest, unique, named, held, digest, window, delay, most)
    if redis.call('EXISTS', job_key(id)) == 1 then return false end
    local job = parse(struct.pack(POSITION_FORMAT, 0) .. rest)
    local type, outcome = job[TYPE], ''
    job[ENQUEUED] = at or job[ENQUEUED]
    if named == 0 then job[PRIORITY] = tonumber(redis.call('HGET', P .. 'queue:' .. type, 'priority') or '0') end
    local holder, other
    local rule = digest and { digest, window, delay, most }
    if rule then
      if delay > 0 then job[NOT_BEFORE] = wall + delay end
      holder, other = uniqueness().holder(type, unique, rule, id)
    elseif unique ~= '' then
      holder = unique_holder(type, unique, id)
    end
    if holder and not other then
      job[STATE], job[POSITION] = REJECTED, wall
      file_under(job, cause_of(REJECTED, type, REASON_UNIQUE, 'enqueue'))
      outcome = outcome_of(REASON_UNIQUE, 'enqueue', held .. holder)
      count(type, 'rejected')
      announce(wall, 'job.rejected', id, 0, event_data(type, REASON_UNIQUE, 'enqueue', held .. holder), job)
    else
      job[STATE], job[POSITION] = SCHEDULED, job[NOT_BEFORE]
      if job[NOT_BEFORE] <= wall then
        job[STATE] = QUEUED
        take_turn(job)
      end
      if other then
        job[STATE], job[POSITION] = uniqueness().place_after(other, rule, job[STATE], job[POSITION])
        uniqueness().replace(other, id)
      end
      hold_unique(id, type, unique, rule and uniqueness().since(other, rule))
      if rule then uniqueness().begin_window(type, rule, id) end
    end
    redis.call('SET', job_key(id), assemble(job, envelope_in(job), data_in(job), '', outcome, ''))
    enter(id, job)
    count(type, 'accepted')
    return true
  end

  -- Ids and types of the follow-ups of a batch, in their order.
  function batches.following(batch)
    return cjson.decode(redis.call('HGET', P .. 'batch:' .. batch, 'following') or '[]')
  end

  function batches.make_next(batch, number)
    local key, field = P .. 'follow-ups:' .. batch, int(number)
    local packed = redis.call('HGET', key, field)
    redis.call('HINCRBY', P .. 'batch:' .. batch, 'made', 1)
    if not packed then
      redis.call('HINCRBY', P .. 'batch:' .. batch, 'total', -1)
      return
    end
    local id, type = unpack(batches.following(batch)[number + 1])
    local is_read, job = pcall(cmsgpack.unpack, packed)
    redis.call('HDEL', key, field)
    redis.call('HDEL', P .. 'follow-up-ids', id)
    -- A job with its id that is not of the batch takes its place.
    if redis.call('EXISTS', job_key(id)) == 1 then
      redis.call('HINCRBY', P .. 'batch:' .. batch, 'total', -1)
    elseif is_read and type_of(job) == 'table' and job[1] == id then
      batches.make(wall, unpack(job))
    else
      lose(id, type, batch, packed)
    end
  end

  -- Whether a job of a batch has ended in another way than completed.
  function batches.has_failed(batch)
    local completed = int(batches.rank_of(COMPLETED) * PRIORITY_STEP)
    if redis.call('ZCOUNT', P .. 'members:' .. batch, '-inf', '(' .. completed) > 0 then return true end
    for state = COMPLETED + 1, LAST_STATE do
      if redis.call('HEXISTS', P .. 'batch:' .. batch, 'removed:' .. int(state)) == 1 then return true end
    end
    return false
  end

  -- Whether all members are accepted, and no job is missing because keys were deleted by others.
  function batches.is_whole(batch)
    local open, total, follow_ups, made, removed =
      unpack(redis.call('HMGET', P .. 'batch:' .. batch, 'open', 'total', 'follow_ups', 'made', 'removed'))
    return open == '0' and redis.call('ZCARD', P .. 'members:' .. batch) + removed >= total - follow_ups + made
  end

  -- Whether the jobs of batches that have not ended are known: of a sample, which is all of them if they are few.
  function batches.are_sound()
    for _, batch in ipairs(redis.call('SRANDMEMBER', P .. 'unended-batches', BATCH_SAMPLE)) do
      if redis.call('HGET', P .. 'batch:' .. batch, 'open') == '0' and not batches.is_whole(batch) then return false end
    end
    return true
  end

  -- Make the next follow-up of a batch if it is its turn, and record whether the batch has ended.
  function batches.advance(batch)
    local key, unfinished = P .. 'batch:' .. batch, int(batches.rank_of(COMPLETED - 1) * PRIORITY_STEP)
    local condition, follow_ups, made, ended =
      unpack(redis.call('HMGET', key, 'condition', 'follow_ups', 'made', 'ended'))
    if not batches.is_whole(batch) or redis.call('ZCOUNT', P .. 'members:' .. batch, unfinished, '+inf') > 0 then
      if ended ~= '0' then
        redis.call('HSET', key, 'ended', 0)
        redis.call('SADD', P .. 'unended-batches', batch)
      end
    elseif tonumber(made) < tonumber(follow_ups) and (condition == WHEN_ENDED or not batches.has_failed(batch)) then
      batches.make_next(batch, tonumber(made))
      if not moved_batches[batch] then batches.advance(batch) end
    elseif ended == '0' then
      redis.call('HSET', key, 'ended', int(wall))
      redis.call('SREM', P .. 'unended-batches', batch)
    end
  end

  -- Write the states of the jobs that the script has moved, and continue their batches.
  function batches.finish()
    local batch, states = next(moved_batches)
    while batch do
      moved_batches[batch] = nil
      if redis.call('EXISTS', P .. 'batch:' .. batch) == 1 then
        local places = {}
        for id, state in pairs(states) do
          places[#places + 1] = int(batches.rank_of(state) * PRIORITY_STEP + wall)
          places[#places + 1] = id
        end
        flush('ZADD', P .. 'members:' .. batch, places)
        batches.advance(batch)
      end
      batch, states = next(moved_batches)
    end
  end

  -- A job of a batch was removed. With the last one its batch is, unless members are still to come.
  function batches.remove(id, batch, state)
    if batch == '' or redis.call('ZREM', P .. 'members:' .. batch, id) == 0 then return end
    redis.call('HINCRBY', P .. 'batch:' .. batch, 'removed', 1)
    redis.call('HINCRBY', P .. 'batch:' .. batch, 'removed:' .. int(state), 1)
    if redis.call('EXISTS', P .. 'members:' .. batch) == 1 then return end
    if redis.call('HGET', P .. 'batch:' .. batch, 'open') == '1' then return end
    batches.forget(batch)
  end

  function batches.forget(batch)
    local following = batches.following(batch)
    for _, number in ipairs(redis.call('HKEYS', P .. 'follow-ups:' .. batch)) do
      local found = following[number + 1]
      if found then redis.call('HDEL', P .. 'follow-up-ids', found[1]) end
    end
    redis.call('UNLINK', P .. 'batch:' .. batch, P .. 'follow-ups:' .. batch)
    redis.call('ZREM', P .. 'submitted-batches', batch)
    redis.call('SREM', P .. 'unended-batches', batch)
  end

  return batches
end
