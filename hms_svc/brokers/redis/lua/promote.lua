-- Make due scheduled and retrying jobs ready.
--
-- args     limit
-- returns  their number, and the milliseconds, a minute at most, until the next one is due: 0 if more are due now
-- Invariant: a job is in one index; the step into the queue is in its history.

local moved = 0

local function make_ready(id, type, state)
  local job = read(id)
  if not job or not NAMES[job[STATE]] then
    push(gone, index_of(state, type), id)
    if state == RETRYING then
      push(hidden, mirror_of(type), id)
      remove_from_groups(id)
    end
    tally(type, state, -1)
    lose(id, type)
  elseif job[STATE] ~= state then
    push(gone, index_of(state, type), id)
  else
    leave(id, job)
    job[STATE], job[CAUSE] = QUEUED, NO_CAUSE
    job[POSITION] = math.max(job[POSITION], job[ENQUEUED]) - job[PRIORITY] * PRIORITY_STEP
    write(id, job, nil, step_of(state, QUEUED, TRIGGER_DUE, ''))
    enter(id, job)
    moved = moved + 1
  end
end

local now, members = int(wall), due_in('due', int(wall), 1000)
in_shares(members, now, args.limit, function(id, found) make_ready(id, found.type, found.state) end)
finish()
for _, found in ipairs(members) do correct_due('due', found) end
local following = tonumber(redis.call('ZRANGE', P .. 'due', 0, 0, 'WITHSCORES')[2] or wall + 60000)
return { moved, int(math.max(0, math.min(following - wall, 60000))) }
