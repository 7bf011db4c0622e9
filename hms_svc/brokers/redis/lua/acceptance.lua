-- Inserted after commit.lua: what accepts jobs.

-- In an empty database nothing is missing: no worker needs to walk the records to find that out. To be called before
-- anything is written.
local function note_if_empty()
  if redis.call('EXISTS', P .. 'job-types') == 0 and redis.pcall('DBSIZE') == 0 then
    redis.call('SADD', P .. 'job-types', '!')
  end
end

-- The priority that a type declares, read once in a call.
local declared = {}

local function priority_of(type)
  if not declared[type] then
    declared[type] = tonumber(redis.call('HGET', P .. 'queue:' .. type, 'priority') or '0')
  end
  return declared[type]
end

-- The first turn of `number` new jobs of a type in a state, and the priority that the type declares.
local function first_turn(type, state, number)
  local last, priority = unpack(redis.call('HMGET', P .. 'queue:' .. type, 'turn', 'priority'))
  -- A database with a turn is not empty.
  if not last then note_if_empty() end
  declared[type] = tonumber(priority or '0')
  return state == QUEUED and turns(type, number, last or '0') or 0, declared[type]
end

-- Write one job; its record lacks its position, in a queued one that is what to add to its time. If it was accepted,
-- add its position and id to `places`; otherwise return "known" and its record ("" beyond what a script reads), or
-- "unique" and the id that holds its key. If it has replaced a job, it returns "replaced", its id, and the state.
local function accept(places, id, type, state, rest, position, unique, named, turn, rule)
  local key = job_key(id)
  local holder, other
  if (unique or rule) and redis.call('EXISTS', key) == 0 then
    if rule then
      holder, other = uniqueness().holder(type, unique, rule, id)
    else
      holder = unique_holder(type, unique, id)
    end
    if holder and not other then return 'unique', holder end
  end
  local priority = named and 0 or priority_of(type)
  position = position or 0
  if state == QUEUED then position = position + turn - priority * PRIORITY_STEP end
  local drafted, delay = state, rule and rule[3] or 0
  if delay > 0 then position = wall + delay end
  if other then state, position = uniqueness().place_after(other, rule, state, position) end
  local record = struct.pack(POSITION_FORMAT, position) .. rest
  if priority ~= 0 or state ~= drafted or delay > 0 then
    local job = parse(record)
    job[STATE] = state
    if delay > 0 then job[NOT_BEFORE] = wall + delay end
    if priority ~= 0 then job[PRIORITY] = priority end
    record = assemble(job, envelope_in(job), data_in(job), '', '', '')
  end
  if redis.call('SETNX', key, record) == 0 then
    if spent > MOST_BYTES then return 'known', '' end
    local known = redis.call('GET', key)
    spent = spent + #known
    return 'known', known
  end
  if other then uniqueness().replace(other, id) end
  if unique then hold_unique(id, type, unique, rule and uniqueness().since(other, rule)) end
  if rule then uniqueness().begin_window(type, rule, id) end
  if other then
    enter(id, parse(record))
    count(type, 'accepted')
    return 'replaced', holder, NAMES[state]
  end
  places[#places + 1] = int(position)
  places[#places + 1] = id
  return nil
end

-- Write what follows from the jobs of a type that were accepted in a state; `places` are their positions and ids.
local function accepted(type, state, places)
  local number, first = #places / 2, tonumber(places[1])
  if number == 0 then return end
  flush('ZADD', index_of(state, type), places)
  if REGISTERS[state] then
    for at = 3, #places, 2 do first = math.min(first, tonumber(places[at])) end
    write_due(state, type, first)
  end
  redis.call('SADD', P .. 'job-types', type)
  if state == QUEUED then wake(type, number) end
  write_size(type, state, number)
  write_count(type, 'accepted', number)
end

-- Write a job that can never run, with its event. Return its record if the id was already known.
local function refuse(type, state, id, record, named, time, data)
  local known = redis.call('GET', job_key(id))
  if known then return known end
  local job = parse(record)
  local priority, cause = job[PRIORITY], job[CAUSE]
  if not named then job[PRIORITY] = priority_of(type) end
  file_under(job, cause)
  if job[PRIORITY] ~= priority or job[CAUSE] ~= cause then
    record = assemble(job, envelope_in(job), data_in(job), raw_in(job), outcome_in(job), '')
  end
  redis.call('SET', job_key(id), record)
  enter(id, job)
  count(type, 'accepted')
  count(type, NAMES[state])
  announce(time, 'job.' .. NAMES[state], id, 0, data, job)
  return nil
end
