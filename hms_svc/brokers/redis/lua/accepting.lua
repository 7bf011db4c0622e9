-- Inserted after prelude.lua before the scripts that accept jobs.

-- The priority that a type declares, read once in a call.
local declared = {}
local function priority_of(type)
  if not declared[type] then
    declared[type] = redis.call('HGET', P .. 'queue:' .. type, 'priority') or '0'
  end
  return declared[type]
end

local BEFORE_PRIORITY = '^(' .. string.rep('%S+ ', PRIORITY - 1) .. ')%S+'

-- Write the declared priority into the line of a job without one, and into its position if it is queued.
local function prioritise(type, state, head, position)
  local priority = priority_of(type)
  if priority == '0' then return head, position end
  if state == QUEUED then position = -priority * PRIORITY_STEP end
  return string.gsub(head, BEFORE_PRIORITY, '%1' .. priority, 1), position
end

-- Write one job; `position` of a queued one is what to add to its time. Return nil if it was accepted, otherwise
-- "known" and its record ("" beyond what a script reads), or "unique" and the id that holds its key.
local function accept(id, type, state, head, tail, position, unique, named, turn)
  local holder = unique ~= '-' and redis.call('EXISTS', job_key(id)) == 0 and unique_holder(type, unique, id)
  if holder then return 'unique', holder end
  if named == '0' then head, position = prioritise(type, state, head, position) end
  position = int(state == QUEUED and turn + position or position)
  if not redis.call('SET', job_key(id), head .. position .. tail, 'NX') then
    if spent > MOST_BYTES then return 'known', '' end
    local record = redis.call('GET', job_key(id))
    spent = spent + #record
    return 'known', record
  end
  hold_unique(id, type, unique)
  push(come, index_of(state, type), position)
  push(come, index_of(state, type), id)
  note_due(state, type, tonumber(position))
  return nil
end

local function accepted(type, state, number)
  tally(type, state, number)
  count(type, 'accepted', number)
  if state == QUEUED and number > 0 then add(woken, type, 'jobs', number) end
end

-- Write a job that can never run, with its event. Return its record if the id was already known.
local function refuse(type, state, id, record, named, time, data)
  local known = redis.call('GET', job_key(id))
  if known then return known end
  local job = parse(record)
  if named == '0' then job[PRIORITY] = priority_of(type) end
  file_under(job, job[CAUSE])
  write(id, job)
  enter(id, job)
  count(type, 'accepted')
  count(type, NAMES[state])
  announce(time, 'job.' .. NAMES[state], id, '0', data, job)
  return nil
end
