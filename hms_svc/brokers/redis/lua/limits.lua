-- Inserted after changes.lua before every script: the limits that types declare.
--
-- A limit has its most and its window in milliseconds. With a window of 0 it counts the jobs that run at the same time,
-- otherwise those that began within the window. Limits of a whole type are in the field `limits` of queue:{type}, and
-- are kept to in the step that claims. Those with a key have a digest of type, limit and key. In places:{type} the
-- digests are listed that a running job counts for; behind a question mark it is the one for which a queued job waits.

limiter.waits = '?'
limiter.types = {}

function limiter.has_places(type)
  if limiter.types[type] == nil then
    limiter.types[type] = redis.call('EXISTS', P .. 'places:' .. type) == 1
  end
  return limiter.types[type]
end

-- How many more jobs may begin, and how many milliseconds later the next one may if none may now.
function limiter.room(digest, most, window)
  if window == 0 then return most - redis.call('SCARD', P .. 'holders:' .. digest), LIMIT_CHECK_MS end
  local key = P .. 'starts:' .. digest
  local oldest = tonumber(redis.call('LINDEX', key, 0) or nil)
  while oldest and (oldest <= lease - window or oldest > lease) do
    redis.call('LPOP', key)
    oldest = tonumber(redis.call('LINDEX', key, 0) or nil)
  end
  local room = most - redis.call('LLEN', key)
  return room, oldest and math.max(1, oldest + window - lease) or 1
end

function limiter.note_starts(digest, window, number)
  local key, starts = P .. 'starts:' .. digest, {}
  for at = 1, number do starts[at] = int(lease) end
  for first = 1, number, 1000 do
    redis.call('RPUSH', key, unpack(starts, first, math.min(first + 999, number)))
  end
  redis.call('PEXPIRE', key, int(window + 1000))
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
  for _, limit in ipairs(cjson.decode(limits)) do
    if limit[2] > 0 then limiter.note_starts(limiter.rate_of(type, limit[2]), limit[2], number) end
  end
end

function limiter.let_in(digest, number)
  local key = P .. 'behind:' .. digest
  for _, member in ipairs(redis.call('ZRANGE', key, 0, number - 1)) do
    local id = string.sub(member, 18)
    local job = read(id)
    redis.call('ZREM', key, member)
    if job and job[STATE] == QUEUED and job[SUSPECT] >= LIMITED then
      leave(id, job)
      write(id, job)
      enter(id, job)
    end
  end
end

function limiter.leave(id, type)
  if not limiter.has_places(type) then return end
  local places = P .. 'places:' .. type
  local held = redis.call('HGET', places, id)
  if not held then return end
  redis.call('HDEL', places, id)
  local waited_for, order = string.match(held, '^%' .. limiter.waits .. '(%x+) (%x+)')
  if waited_for then
    redis.call('ZREM', P .. 'behind:' .. waited_for, order .. ' ' .. id)
    return
  end
  for digest in string.gmatch(held, '%x+') do
    if redis.call('SREM', P .. 'holders:' .. digest, id) == 1 then limiter.let_in(digest, 1) end
  end
end

-- A worker that has found a limit exhausted waits: it is notified when jobs have stopped running.
function limiter.wake()
  for type, number in pairs(freed) do
    if redis.call('HEXISTS', P .. 'queue:' .. type, 'limits') == 1 then
      for lane, mark in pairs({ [0] = '', [1] = '!' }) do
        local ready = redis.call('ZCARD', index_of(QUEUED, type, lane))
        if ready > 0 then add(woken, mark .. type, 'jobs', math.min(number, ready)) end
      end
    end
  end
end
