-- Set behind prelude.lua before the scripts that accept jobs.

-- Write one job, `position` of a queued one being what to add to its turn. Gives nothing where it was
-- accepted, else "known" and its record, or "unique" and the id that holds its key.
local function accept(id, type, state, head, tail, position, unique, turn)
  local holder = unique ~= '-' and redis.call('EXISTS', job_key(id)) == 0 and unique_holder(type, unique, id)
  if holder then return 'unique', holder end
  if state == '2' then position = int(turn + position) end
  if not redis.call('SET', job_key(id), head .. position .. tail, 'NX') then
    return 'known', redis.call('GET', job_key(id))
  end
  hold_unique(id, type, unique)
  push(come, index_of(state, type), position)
  push(come, index_of(state, type), id)
  return nil
end

local function accepted(type, state, number)
  tally(type, state, number)
  count(type, 'accepted', number)
  if state == '2' and number > 0 then add(woken, type, 'jobs', number) end
end

-- Write what can never run, with its event. Gives its record where the id was known already.
local function refuse(type, state, id, record, time, data)
  local known = redis.call('GET', job_key(id))
  if known then return known end
  local job = parse(record)
  file_under(job, job[CAUSE])
  write(id, job)
  enter(id, job)
  count(type, 'accepted')
  count(type, NAMES[state])
  announce(time, 'job.' .. NAMES[state], id, '0', data)
  return nil
end
