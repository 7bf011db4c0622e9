-- Make scheduled and retrying jobs ready whose time has come.
--
-- ARGV     limit
-- returns  their number, and the time (Unix ms) when the next is due, 0 where none waits
-- Invariant: a job is in one index; the step into the queue stands in its trail.

local left, moved, due = tonumber(ARGV[4]), 0, 0

local function make_ready(id, type, state)
  local job = read(id)
  if not job then
    push(gone, index_of(state, type), id)
    if state == '5' then push(hidden, mirror_of(type), id) end
    tally(type, state, -1)
    lose(id, type)
  elseif job[STATE] ~= state then
    push(gone, index_of(state, type), id)
  else
    leave(id, job)
    job[STATE] = '2'
    local ready = math.max(tonumber(job[POSITION]), tonumber(job[ENQUEUED]))
    job[POSITION] = int(ready - job[PRIORITY] * PRIORITY_STEP)
    write(id, job, nil, step_of(state, '2', 'due', ''))
    enter(id, job)
    moved = moved + 1
  end
end

for _, type in ipairs(types()) do
  for _, state in ipairs({ '1', '5' }) do
    local key = index_of(state, type)
    local now = int(wall)
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, left)) do
      if spent > SPENT_MOST then left = 0 end
      if left > 0 then
        make_ready(id, type, state)
        left = left - 1
      end
    end
    local following = redis.call('ZRANGEBYSCORE', key, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
    if following then
      local at = math.floor(tonumber(following))
      if due == 0 or at < due then due = at end
    end
  end
end
finish()
if left <= 0 then due = wall end
return { moved, int(due) }
