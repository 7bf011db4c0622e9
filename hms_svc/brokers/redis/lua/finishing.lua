-- Set behind prelude.lua before every script: what has been collected is written, once, at the end.

local function flush(command, key, list, run)
  for first = 1, #list, 1000 do
    (run or redis.call)(command, key, unpack(list, first, math.min(first + 999, #list)))
  end
end

-- The last position on the bus. There are no gaps but after a loss, so that what is missing below the first
-- event was trimmed; time is where it begins, so that no position is used again after a flush.
local function bus_position()
  redis.call('SET', P .. 'bus:position', int(wall * 1000), 'NX')
  return tonumber(redis.call('GET', P .. 'bus:position'))
end

local function write_events()
  if #events == 0 then return end
  local position = bus_position()
  redis.call('INCRBY', P .. 'bus:position', #events)
  for number, event in ipairs(events) do
    redis.call('XADD', P .. 'bus', 'MAXLEN', '~', BUS_MOST, int(position + number) .. '-0',
      'a', event[1], 't', event[2], 'j', event[3], 'f', event[4], 'd', event[5])
  end
end

local function size_of(type, name)
  local size = redis.call('ZCARD', P .. name .. ':' .. type)
  if name == 'queued' then size = size + redis.call('ZCARD', P .. 'suspects:' .. type) end
  return size
end

local function write_tallies()
  for type, moved in pairs(tallies) do
    redis.call('SADD', P .. 'types', type)
    for name, number in pairs(moved) do
      if number ~= 0 then redis.call('HINCRBY', P .. 'queue:' .. type, name, number) end
    end
  end
end

local function intake_of(type)
  return (foreign('LLEN', 'jobs:' .. type) or 0) + redis.call('LLEN', P .. 'taken:' .. type)
end

-- Keys of a type that others write to and that have another Redis type than they should: key, type, …
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

-- stats:{type} is everybody's to write: what stands in the way there must not stop the work.
local function write_stats()
  for type, moved in pairs(tallies) do
    for name in pairs(moved) do
      if GAUGES[name] then redis.pcall('HSET', 'stats:' .. type, name, size_of(type, name)) end
    end
  end
  for type, sums in pairs(counters) do
    for name, number in pairs(sums) do
      redis.pcall('HINCRBY', 'stats:' .. type, name, number)
    end
  end
  for type in pairs(intakes) do
    redis.pcall('HSET', 'stats:' .. type, 'intake', intake_of(type))
  end
end

-- Strike a worker off the registers of sleepers: it is called once, whatever it lay down for.
local function strike_off(worker)
  local lies = P .. 'lies:' .. worker
  for name in string.gmatch(redis.call('GET', lies) or '', '%S+') do
    redis.call('ZREM', P .. 'sleepers:' .. name, worker)
  end
  redis.call('DEL', lies)
end

-- Tell a worker something; false where nobody hears, also where this user may not publish.
local function call(worker, word)
  local heard = redis.pcall('PUBLISH', P .. 'wake:' .. worker, word)
  return type_of(heard) == 'number' and heard > 0
end

-- Wake as many sleepers as there are jobs; one that does not hear is passed over.
local function wake(type, jobs)
  local key = P .. 'sleepers:' .. type
  while jobs > 0 do
    local sleeper = redis.call('ZPOPMIN', key)
    if not sleeper[1] then return end
    strike_off(sleeper[1])
    if tonumber(sleeper[2]) >= lease and call(sleeper[1], 'work') then jobs = jobs - 1 end
  end
end

-- A failure group is known while a job stands in it; the past of one of retrying jobs, for an hour more.
local function write_causes()
  for cause in pairs(causes) do
    local stands = redis.call('EXISTS', P .. 'cause:' .. cause) == 1
    redis.call(stands and 'SADD' or 'SREM', P .. 'causes', cause)
    if stands then
      redis.call('PERSIST', P .. 'failing:' .. cause)
    else
      redis.call('EXPIRE', P .. 'failing:' .. cause, 3600)
    end
  end
end

-- What others may stand in the way of comes last, and each command of it may fail.
local function finish()
  for key, list in pairs(gone) do flush('ZREM', key, list) end
  for key, list in pairs(come) do flush('ZADD', key, list) end
  write_dues()
  write_causes()
  write_tallies()
  write_events()
  for type, sum in pairs(woken) do wake(type, sum.jobs) end
  write_mirrors()
  write_stats()
end
