-- Make due scheduled and retrying jobs ready, and let in those that wait for a limit which has room again.
--
-- args     limit
-- returns  the number of the former; the milliseconds, a minute at most, until the next one is due, 0 if more are due now;
--          1 if there are more limits to look at now
-- rarely   read, leave, enter, write, step_of, lose, tally, push, remove_from_groups, limiter.of_type, limiter.room,
--          limiter.strike_lost, limiter.let_in, correct_due, finish
-- Invariant: a job is in one index; the step into the queue is in its history.

local moved, to_let_in = 0, LET_IN_AT_ONCE

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

-- Beside what limiter.leave does at once, this is for windows that have passed and for limits that were changed.
local function look_at(checked)
  local type, digest, number = string.match(checked, '^(%S+) (%x+) (%d+)$')
  local limit = limiter.of_type(type, 'keyed_limits')[tonumber(number) + 1]
  local room, ahead = math.huge, LIMIT_CHECK_MS
  if limit and limit ~= cjson.null then room, ahead = limiter.room(digest, limit[1], limit[2]) end
  if room <= 0 then limiter.strike_lost(type, digest) end
  to_let_in = to_let_in - limiter.let_in(digest, math.min(room, to_let_in))
  if redis.call('EXISTS', P .. 'behind:' .. digest) == 0 then
    redis.call('ZREM', P .. 'limit-checks', checked)
  elseif to_let_in > 0 and spent <= MOST_BYTES then
    redis.call('ZADD', P .. 'limit-checks', int(lease + ahead), checked)
  end
end

local checks = redis.call('ZRANGEBYSCORE', P .. 'limit-checks', '-inf', int(lease), 'LIMIT', 0, LIMITS_AT_ONCE)
local more_limits = #checks == LIMITS_AT_ONCE
for _, checked in ipairs(checks) do
  look_at(checked)
  if to_let_in <= 0 or spent > MOST_BYTES then
    more_limits = true
    break
  end
end
local now, members = int(wall), due_in('due', int(wall), 1000)
in_shares(members, now, args.limit, function(id, found) make_ready(id, found.type, found.state) end)
if next(gone) or next(tallies) then finish() end
for _, found in ipairs(members) do correct_due('due', found) end
local following = tonumber(redis.call('ZRANGE', P .. 'due', 0, 0, 'WITHSCORES')[2] or wall + 60000)
local checked = tonumber(redis.call('ZRANGE', P .. 'limit-checks', 0, 0, 'WITHSCORES')[2] or nil)
if checked then following = math.min(following, wall + math.max(1, checked - lease)) end
return { moved, int(math.max(0, math.min(following - wall, 60000))), more_limits and 1 or 0 }
