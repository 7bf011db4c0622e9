-- Inserted after batches.lua: the collected changes are written once, at the end.

-- The last position on the bus. Positions have no gaps except after a data loss, so that missing ones below the first
-- event were trimmed. They begin at the current time, so that none is used again after a flush.
local function bus_position()
  redis.call('SET', P .. 'bus:position', int(wall * 1000), 'NX')
  return tonumber(redis.call('GET', P .. 'bus:position'))
end

-- Take `number` positions; return the last one before them.
local function take_positions(number)
  local last = redis.call('GET', P .. 'bus:position') or wall * 1000
  redis.call('SET', P .. 'bus:position', last + number)
  return tonumber(last)
end

local function write_events()
  if #events == 0 then return end
  local position = take_positions(#events)
  local bus, last = P .. 'bus', #events
  for number, event in ipairs(events) do
    local place = string.format('%d-0', position + number)
    if number < last then
      redis.call('XADD', bus, place, 'a', event[1], 't', event[2], 'j', event[3], 'f', event[4], 'd', event[5])
    else
      redis.call('XADD', bus, 'MAXLEN', '~', MOST_EVENTS, place,
        'a', event[1], 't', event[2], 'j', event[3], 'f', event[4], 'd', event[5])
    end
  end
end

-- Record that the number of jobs of a type in a state has changed; after its index was written. Other programs may
-- write stats:{type}: a wrong value there must not make the script fail.
local function write_size(type, state, number)
  local name = NAMES[state]
  if number ~= 0 then redis.call('HINCRBY', P .. 'queue:' .. type, name, number) end
  -- The states before it have a gauge, those in which jobs have ended a counter.
  if state < COMPLETED then
    local size = redis.call('ZCARD', index_of(state, type))
    if state == QUEUED then size = size + further_queued(type) end
    redis.pcall('HSET', 'stats:' .. type, name, size)
  end
end

local function write_count(type, name, number)
  redis.pcall('HINCRBY', 'stats:' .. type, name, number)
end

local function intake_of(type)
  return (foreign('LLEN', 'jobs:' .. type) or 0) + redis.call('LLEN', P .. 'taken:' .. type)
end

-- Keys of a type that other programs write to and that have a wrong Redis type: key, type, …
local function misplaced(type)
  local found = {}
  for key, wanted in pairs({ ['jobs:' .. type] = 'list', [mirror_of(type)] = 'zset', ['stats:' .. type] = 'hash' }) do
    local kind = redis.call('TYPE', key).ok
    if kind ~= 'none' and kind ~= wanted then
      found[#found + 1] = key
      found[#found + 1] = kind
    end
  end
  return found
end

local function write_mirrors()
  for key, list in pairs(hidden) do flush('ZREM', key, list, redis.pcall) end
  for key, list in pairs(mirrored) do flush('ZADD', key, list, redis.pcall) end
end

-- Remove a worker from the registers of all types it waits for: it is notified once.
local function leave_registers(worker)
  local registers_key = P .. 'waits:' .. worker
  local registers = redis.call('GET', registers_key)
  for name in string.gmatch(registers or '', '%S+') do
    redis.call('ZREM', P .. 'waiting:' .. name, worker)
  end
  if registers then redis.call('DEL', registers_key) end
end

-- Send a message to a worker; return false if nobody is subscribed, or this user may not publish.
local function notify(worker, message)
  local receivers = redis.pcall('PUBLISH', P .. 'wake:' .. worker, message)
  return type_of(receivers) == 'number' and receivers > 0
end

-- Notify as many waiting workers as there are jobs; one that is not subscribed is skipped.
function wake(type, jobs)
  local key = P .. 'waiting:' .. type
  while jobs > 0 do
    local waiting = redis.call('ZPOPMIN', key)
    if not waiting[1] then return end
    leave_registers(waiting[1])
    if tonumber(waiting[2]) >= lease and notify(waiting[1], 'work') then jobs = jobs - 1 end
  end
end

-- A failure group is known while it has a job; the history of a group of retrying jobs is kept an hour longer.
local function write_causes()
  for cause in pairs(causes) do
    local exists = redis.call('EXISTS', P .. 'cause:' .. cause) == 1
    redis.call(exists and 'SADD' or 'SREM', P .. 'causes', cause)
    if exists then
      redis.call('PERSIST', P .. 'failing:' .. cause)
    else
      redis.call('EXPIRE', P .. 'failing:' .. cause, SLOT_MS * SLOTS / 1000)
    end
  end
end

-- Wake the workers that wait for a limit of a type, of whose jobs some have stopped running.
local function wake_limited(type, number)
  if redis.call('HEXISTS', P .. 'queue:' .. type, 'limits') == 1 then limiter.wake(type, number) end
end

-- Keys that other programs may have changed come last, and each command on them may fail.
local function finish()
  if next(moved_batches) then batches().finish() end
  for key, list in pairs(gone) do flush('ZREM', key, list) end
  for key, list in pairs(come) do flush('ZADD', key, list) end
  for key, list in pairs(gone_again) do flush('ZREM', key, list) end
  write_dues()
  write_causes()
  for type in pairs(tallies) do redis.call('SADD', P .. 'job-types', type) end
  write_events()
  for type, number in pairs(freed) do wake_limited(type, number) end
  for type, sum in pairs(woken) do wake(type, sum.jobs) end
  write_mirrors()
  for type, moved in pairs(tallies) do
    for state, number in pairs(moved) do write_size(type, state, number) end
  end
  for type, sums in pairs(counters) do
    for name, number in pairs(sums) do write_count(type, name, number) end
  end
  for type in pairs(intakes) do redis.pcall('HSET', 'stats:' .. type, 'intake', intake_of(type)) end
end
