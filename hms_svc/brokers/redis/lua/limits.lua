-- Inserted after changes.lua: the limits that types declare.
--
-- A limit has its most and its window in milliseconds. With a window of 0 it counts the jobs that run at the same time,
-- otherwise those that began within the window. Limits of a whole type are in the field `limits` of queue:{type}, and
-- are kept to in the step that claims. Those with a key are in `keyed_limits`, each at its place among all limits of the
-- type, and have a digest of type, place and key. In places:{type} the digests are listed that a running job counts for;
-- behind a question mark it is the one for which a queued job waits, then the place of the limit, the job's order, and
-- the limit in words.

limiter.waits = '?'
limiter.types = {}
limiter.declared = { limits = {}, keyed_limits = {} }

-- The limits in a field of queue:{type}.
function limiter.of_type(type, field)
  local known = limiter.declared[field]
  if not known[type] then known[type] = cjson.decode(redis.call('HGET', P .. 'queue:' .. type, field) or '[]') end
  return known[type]
end

function limiter.has_places(type)
  if limiter.types[type] == nil then
    limiter.types[type] = redis.call('EXISTS', P .. 'places:' .. type) == 1
  end
  return limiter.types[type]
end

-- How many more jobs may begin, and after how many milliseconds to look again if none may now.
function limiter.room(digest, most, window)
  if window == 0 then return most - redis.call('SCARD', P .. 'holders:' .. digest), LIMIT_CHECK_MS end
  local key = P .. 'starts:' .. digest
  local oldest = tonumber(redis.call('LINDEX', key, 0) or nil)
  -- A start that is far ahead is of a clock that was set back; a little ahead may be that of another caller.
  while oldest and (oldest <= lease - window or oldest > lease + window) do
    redis.call('LPOP', key)
    oldest = tonumber(redis.call('LINDEX', key, 0) or nil)
  end
  local room = most - redis.call('LLEN', key)
  return room, math.max(1, math.min((oldest or lease) + window - lease, LIMIT_CHECK_MS))
end

function limiter.note_starts(digest, window, number)
  local key, starts = P .. 'starts:' .. digest, {}
  for at = 1, number do starts[at] = int(lease) end
  for first = 1, number, 1000 do
    redis.call('RPUSH', key, unpack(starts, first, math.min(first + 999, number)))
  end
  redis.call('PEXPIRE', key, int(window + 1000))
end

-- The member of limit-checks for a limit.
function limiter.check_of(type, digest, number)
  return type .. ' ' .. digest .. ' ' .. number
end

-- Whether all keys by which a waiting job is let in are there.
function limiter.is_waiting(type, id)
  local held = redis.call('HGET', P .. 'places:' .. type, id) or ''
  local digest, number, order = string.match(held, '^%' .. limiter.waits .. '(%x+) (%d+) (%x+)')
  return digest and redis.call('ZSCORE', P .. 'behind:' .. digest, order .. ' ' .. id)
    and redis.call('ZSCORE', P .. 'limit-checks', limiter.check_of(type, digest, number))
end

-- Some running jobs that a limit counts: of one whose place is not known any more it would count it for ever.
function limiter.strike_lost(type, digest)
  local holders = P .. 'holders:' .. digest
  for _, id in ipairs(redis.call('SRANDMEMBER', holders, LIMIT_SAMPLE)) do
    if redis.call('HEXISTS', P .. 'places:' .. type, id) == 0 then redis.call('SREM', holders, id) end
  end
end

-- A job that was claimed does not begin: the rates of its type do not count it.
function limiter.take_back_start(type, claimed_at)
  for window in pairs(limiter.windows_of(limiter.of_type(type, 'limits'))) do
    redis.call('LREM', P .. 'starts:' .. limiter.rate_of(type, window), -1, int(claimed_at))
  end
end

-- The windows of the rates among limits: those of one window count together.
function limiter.windows_of(limits)
  local windows = {}
  for _, limit in ipairs(limits) do
    if limit[2] > 0 then windows[limit[2]] = true end
  end
  return windows
end

function limiter.rate_of(type, window)
  return redis.sha1hex(type .. '\n' .. int(window))
end

-- How many more jobs of a type may run by its own limits, given as JSON, and when more may, as room_of.
function limiter.room_in_type(type, limits)
  local least, ahead = math.huge, LIMIT_CHECK_MS
  for _, limit in ipairs(cjson.decode(limits)) do
    local most, window = limit[1], limit[2]
    local room, after = most - redis.call('ZCARD', index_of(PROCESSING, type)), LIMIT_CHECK_MS
    if window > 0 then room, after = limiter.room(limiter.rate_of(type, window), most, window) end
    least = math.min(least, room)
    if room <= 0 then ahead = math.min(ahead, after) end
  end
  return least, ahead
end

function limiter.begin_in_type(type, limits, number)
  for window in pairs(limiter.windows_of(cjson.decode(limits))) do
    limiter.note_starts(limiter.rate_of(type, window), window, number)
  end
end

-- Make the first of the jobs that wait ready, behind a position; return whether it may begin, nil if none waits, and its
-- own position.
function limiter.let_first_in(digest, before)
  local key = P .. 'behind:' .. digest
  local member = redis.call('ZRANGE', key, 0, 0)[1]
  if not member then return nil end
  local id = string.sub(member, 18)
  local job = read(id)
  redis.call('ZREM', key, member)
  if not job or job[STATE] ~= QUEUED or job[SUSPECT] < LIMITED then return false, before end
  leave(id, job)
  -- Of equal positions the ids decide, not the order.
  job[POSITION] = math.max(job[POSITION], before + 1)
  write(id, job)
  enter(id, job)
  return not is_expired(job), job[POSITION]
end

-- Let in so many jobs that may begin; those that have expired do not count, they end when they are claimed. Return how
-- many have left.
function limiter.let_in(digest, number)
  local left, most, position, may_begin = 0, number + EXPIRED_AT_ONCE, -math.huge, nil
  while number > 0 and left < most and spent <= MOST_BYTES do
    may_begin, position = limiter.let_first_in(digest, position)
    if may_begin == nil then break end
    left = left + 1
    if may_begin then number = number - 1 end
  end
  return left
end

function limiter.leave(id, type)
  if not limiter.has_places(type) then return end
  local places = P .. 'places:' .. type
  local held = redis.call('HGET', places, id)
  if not held then return end
  redis.call('HDEL', places, id)
  local waited_for, order = string.match(held, '^%' .. limiter.waits .. '(%x+) %d+ (%x+)')
  if waited_for then
    redis.call('ZREM', P .. 'behind:' .. waited_for, order .. ' ' .. id)
    return
  end
  for digest in string.gmatch(held, '%x+') do
    if redis.call('SREM', P .. 'holders:' .. digest, id) == 1 then limiter.let_in(digest, 1) end
  end
end

-- A worker that has found a limit exhausted waits: it is notified when so many jobs have stopped running.
function limiter.wake(type, number)
  for lane, mark in pairs({ [0] = '', [1] = '!' }) do
    local ready = redis.call('ZCARD', index_of(QUEUED, type, lane))
    if ready > 0 then wake(mark .. type, math.min(number, ready)) end
  end
end
